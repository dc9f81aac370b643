"""The vocabulary: all words that documents were ever found to have, to look up those near to
another by edit distance (insert, delete or replace a letter, or swap two neighbours), and the
parts of compounds.

A word of which no document is left stays; whoever asks counts the documents that have it.
"""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterable
from functools import cache

from qrank.analysis.characters import UNSPACED
from qrank.store import decode

SHORTEST, LONGEST = 3, 24  # letters
KNOWN = 200_000  # words that a writer keeps in memory, so as not to look each up again
WHOLE = 30_000  # words, up to which all of a vocabulary is compared
STARTS = 4  # letters at the beginning of a word, of which one at most is wrong where it is larger
_WORD = rf"(?:(?![{UNSPACED}])[^\W\d_]){{{SHORTEST},{LONGEST}}}"
_END = "\U0010ffff"  # after any letter
_AMONG = "SELECT word FROM json_each(?) CROSS JOIN word ON word = value ORDER BY word"


@cache
def _letters() -> bytes:
    """A table for bytes.translate: small letters of ASCII, blanks for its other characters."""
    return bytes(
        ord(chr(code).lower()) if chr(code).isalpha() and code < 128 else code if code > 127 else 32
        for code in range(256)
    )


def add(connection: sqlite3.Connection, texts: Iterable[str], stored: set[bytes]) -> None:
    """Add the words of texts; stored: those that are in already, to which theirs are added."""
    if len(stored) > KNOWN:
        stored.clear()
    # Bytes are taken apart several times as fast as text.
    new = set("\n".join(texts).encode("utf-8", "replace").translate(_letters()).split()) - stored
    stored |= new
    words: set[str] = set()
    for each in new:
        if each.isascii():
            if SHORTEST <= len(each) <= LONGEST:
                words.add(each.decode("ascii"))
        else:
            words |= set(re.findall(_WORD, unicodedata.normalize("NFC", each.decode().lower())))
    connection.executemany(
        "INSERT OR IGNORE INTO word (word) VALUES (?)", [(word,) for word in sorted(words)]
    )


def known(connection: sqlite3.Connection, asked: Iterable[str]) -> set[str]:
    """Those of some words, in small letters, that are in the vocabulary."""
    return set(_words(connection, _AMONG, json.dumps(list(asked))))


def beginning(connection: sqlite3.Connection, start: str, most: int) -> list[str]:
    """The first most words, in order, that begin with start and are longer."""
    sql = "SELECT word FROM word WHERE word > ? AND word < ? || ? ORDER BY word LIMIT ?"
    return _words(connection, sql, start, start, _END, most)


def near(connection: sqlite3.Connection, word: str, most: int) -> list[tuple[int, str]]:
    """(distance, word) of the words at a distance of 1 to most (1 or 2) from a word in small
    letters, by word; those at 2 only when there are none at 1.

    In a vocabulary of more than WHOLE words those at 2 have one of the two edits at most in their
    first STARTS letters.
    """
    if len(word) > LONGEST + most:
        return []
    edits = _edits(word, _alphabet(word)) - {word}
    found = [(1, each) for each in _words(connection, _AMONG, json.dumps(list(edits)))]
    return found if found or most < 2 else _at_two(connection, word)


def _at_two(connection: sqlite3.Connection, word: str) -> list[tuple[int, str]]:
    lengths = (max(SHORTEST, len(word) - 2), len(word) + 2)
    sql = "SELECT word FROM word WHERE length(word) BETWEEN ? AND ?"
    size = "SELECT count(*) FROM (SELECT 1 FROM word LIMIT ?)"
    rows = connection.execute(size, (WHOLE + 1,))
    if next(decode.rows(rows, (int,), "the vocabulary"))[0] <= WHOLE:
        words = _words(connection, sql, *lengths)
    else:
        half = word[:STARTS]
        ranges: list[str] = []
        for start in sorted({half} | _edits(half, _alphabet(word))):
            if not (ranges and start.startswith(ranges[-1])):
                ranges.append(start)
        sql = (
            "SELECT word FROM json_each(?) CROSS JOIN word ON word BETWEEN value AND value || ? "
            "WHERE length(word) BETWEEN ? AND ?"
        )
        starts = json.dumps(ranges)
        words = _words(connection, sql, starts, _END, *lengths)
    from qrank.analysis.spelling import within_two

    return [(2, each) for each in sorted(within_two(word, words))]


def _words(connection: sqlite3.Connection, sql: str, *arguments: object) -> list[str]:
    return [row[0] for row in decode.rows(connection.execute(sql, arguments), (str,), "a word")]


def _edits(word: str, alphabet: str) -> set[str]:
    """What one edit makes of a word."""
    cuts = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    return (
        {a + b[1:] for a, b in cuts if b}
        | {a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1}
        | {a + c + b[1:] for a, b in cuts if b for c in alphabet}
        | {a + c + b for a, b in cuts for c in alphabet}
    )


def _alphabet(word: str) -> str:
    """The small letters of the scripts that a word is written in, by their blocks of code
    points."""
    letters = set("abcdefghijklmnopqrstuvwxyz") if word[0] < "\u0250" else set()
    for letter in set(word) - letters:
        block = ord(letter) & ~0x7F
        letters |= {chr(c) for c in range(block, block + 0x80) if chr(c).isalpha()}
    return "".join(sorted(c for c in letters if c == c.lower()))
