"""The vocabulary: all words that indexed documents have had, to look up words by edit distance (a
letter inserted, deleted or replaced, or two adjacent letters swapped) and parts of compounds.

Words are never removed, so callers check that a word still has documents.
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
MAX_CACHED = 200_000  # words that a writer keeps in memory, so as not to insert them again
MAX_SCANNED = 30_000  # words: a larger vocabulary is not compared as a whole
PREFIX = 4  # letters at the start of a word that may contain one edit in a larger vocabulary
_WORD = rf"(?:(?![{UNSPACED}])[^\W\d_]){{{SHORTEST},{LONGEST}}}"
_END = "\U0010ffff"  # after any letter
_INTERSECTION = "SELECT word FROM json_each(?) CROSS JOIN word ON word = value ORDER BY word"


@cache
def _letters() -> bytes:
    """A table for bytes.translate: lowers ASCII letters, and replaces other ASCII by spaces."""
    return bytes(
        ord(chr(code).lower()) if chr(code).isalpha() and code < 128 else code if code > 127 else 32
        for code in range(256)
    )


def add(connection: sqlite3.Connection, texts: Iterable[str], cached: set[bytes]) -> None:
    """Add the words of texts. cached: as in `new_words`. Writes."""
    connection.executemany(
        "INSERT OR IGNORE INTO word (word) VALUES (?)",
        [(word,) for word in new_words(texts, cached)],
    )


def new_words(texts: Iterable[str], cached: set[bytes]) -> list[str]:
    """The words of texts that are not in cached. cached: words that are stored already, as UTF-8;
    updated."""
    if len(cached) > MAX_CACHED:
        cached.clear()
    # Splitting bytes is several times as fast as splitting str.
    new = set("\n".join(texts).encode("utf-8", "replace").translate(_letters()).split()) - cached
    cached |= new
    words: set[str] = set()
    for each in new:
        if each.isascii():
            if SHORTEST <= len(each) <= LONGEST:
                words.add(each.decode("ascii"))
        else:
            words |= set(re.findall(_WORD, unicodedata.normalize("NFC", each.decode().lower())))
    return sorted(words)


def intersection(connection: sqlite3.Connection, lowercase_words: Iterable[str]) -> set[str]:
    """Those of some words, in lower case, that are in the vocabulary."""
    return set(_words(connection, _INTERSECTION, json.dumps(list(lowercase_words))))


def with_prefix(connection: sqlite3.Connection, prefix: str, limit: int) -> list[str]:
    """The first limit words, in order, that start with prefix and are longer."""
    sql = "SELECT word FROM word WHERE word > ? AND word < ? || ? ORDER BY word LIMIT ?"
    return _words(connection, sql, prefix, prefix, _END, limit)


def near(connection: sqlite3.Connection, word: str, max_edits: int) -> list[tuple[int, str]]:
    """(distance, word) of the words at distance 1 from word (lower case), ordered by word; when
    there are none, and max_edits is 2, those at distance 2.

    In a vocabulary of more than MAX_SCANNED words, distance 2 is only found for words with at most
    one of the edits in the first PREFIX letters.
    """
    if len(word) > LONGEST + max_edits:
        return []
    at_one = [(1, each) for each in _words(connection, _INTERSECTION, json.dumps([*edits(word)]))]
    return at_one if at_one or max_edits < 2 else _at_two(connection, word)


def _at_two(connection: sqlite3.Connection, word: str) -> list[tuple[int, str]]:
    lengths = (max(SHORTEST, len(word) - 2), len(word) + 2)
    sql = "SELECT word FROM word WHERE length(word) BETWEEN ? AND ?"
    size = "SELECT count(*) FROM (SELECT 1 FROM word LIMIT ?)"
    rows = connection.execute(size, (MAX_SCANNED + 1,))
    if next(decode.rows(rows, (int,), "the vocabulary"))[0] <= MAX_SCANNED:
        words = _words(connection, sql, *lengths)
    else:
        start = word[:PREFIX]
        prefixes: list[str] = []  # none starts with another, so that their ranges are disjoint
        for prefix in sorted({start} | _edits(start, _alphabet(word))):
            if not (prefixes and prefix.startswith(prefixes[-1])):
                prefixes.append(prefix)
        sql = (
            "SELECT word FROM json_each(?) CROSS JOIN word ON word BETWEEN value AND value || ? "
            "WHERE length(word) BETWEEN ? AND ?"
        )
        words = _words(connection, sql, json.dumps(prefixes), _END, *lengths)
    from qrank.analysis.spelling import within_two

    return [(2, each) for each in sorted(within_two(word, words))]


def _words(connection: sqlite3.Connection, sql: str, *arguments: object) -> list[str]:
    return [row[0] for row in decode.rows(connection.execute(sql, arguments), (str,), "a word")]


def edits(word: str) -> set[str]:
    """The strings one edit away from a word in lower case."""
    return _edits(word, _alphabet(word)) - {word}


def _edits(word: str, alphabet: str) -> set[str]:
    """All strings one edit away from a word."""
    cuts = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    return (
        {a + b[1:] for a, b in cuts if b}
        | {a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1}
        | {a + c + b[1:] for a, b in cuts if b for c in alphabet}
        | {a + c + b for a, b in cuts for c in alphabet}
    )


def _alphabet(word: str) -> str:
    """The lowercase letters of a word's scripts: those in the same blocks of 128 code points."""
    letters = set("abcdefghijklmnopqrstuvwxyz") if word[0] < "\u0250" else set()
    for letter in set(word) - letters:
        block = ord(letter) & ~0x7F
        letters |= {chr(c) for c in range(block, block + 0x80) if chr(c).isalpha()}
    return "".join(sorted(c for c in letters if c == c.lower()))
