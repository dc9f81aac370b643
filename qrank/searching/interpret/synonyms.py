"""The user's own synonyms and acronyms: a file `synonyms.txt` beside the index, a line each.

    k8s = kubernetes
    ML = machine learning = statistical learning   # any of them stands for all

A query that has one of them is searched for the others, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from qrank import files
from qrank.analysis.text import phrase_terms, tokens
from qrank.errors import InputError
from qrank.searching.query import ParsedQuery
from qrank.urls import IndexPlace

NAME = "synonyms.txt"
MOST_BYTES = 1 << 20
MOST_ADDED = 16  # phrases to a query


def widened(parsed: ParsedQuery, index: IndexPlace, languages: Sequence[str] = ()) -> ParsedQuery:
    """A query with the synonyms of its words. Raises InputError for a file that can't be used."""
    if not isinstance(index, Path):
        return parsed  # what an engine holds has no folder
    file = index.with_name(NAME)
    try:
        info = file.stat()
        if info.st_size > MOST_BYTES:
            raise InputError(f"{file} is larger than {MOST_BYTES >> 20} MB")
        groups = _groups(file, info.st_mtime_ns, info.st_size)
    except FileNotFoundError:
        return parsed
    except OSError as error:
        raise InputError(f"can't read {file}: {files.reason(error)}") from error
    words = _joined(parsed.plain)
    also: dict[str, str] = {}
    for group in groups:
        in_query = [phrase for phrase in group if f" {_joined(phrase)} " in f" {words} "]
        if in_query:
            others = (phrase for phrase in group if phrase not in in_query)
            also |= {phrase: f"{in_query[0]} = {phrase}" for phrase in others}
    if not also:
        return parsed
    phrases = list(also)[:MOST_ADDED]
    variants = {latin: list(terms) for latin, terms in parsed.variants.items()}
    for latin in languages:
        own = [_joined(phrase, latin) for phrase in phrases]
        new = [
            terms for terms, phrase in zip(own, phrases, strict=True) if terms != _joined(phrase)
        ]
        if new:
            variants.setdefault(latin, []).extend(new)
    return replace(
        parsed,
        variants=variants,
        compounds=(*parsed.compounds, *map(_joined, phrases)),
        also=tuple(phrases),
        synonyms=tuple(also[phrase] for phrase in phrases),
    )


def marked(parsed: ParsedQuery) -> list[str]:
    """The terms of the phrases that a query was widened with."""
    return [terms[0] for phrase in parsed.also for _, _, terms in tokens(phrase)]


def _joined(phrase: str, latin: str = "english") -> str:
    return " ".join(phrase_terms(phrase, latin)[0])


@lru_cache(maxsize=4)
def _groups(file: Path, mtime_ns: int, size: int) -> tuple[tuple[str, ...], ...]:
    """The phrases that mean the same, as the file says, which has this time and size."""
    groups = []
    try:
        lines = file.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text") from error
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0] if line.lstrip().startswith("#") else line.partition(" #")[0]
        if not text.strip():
            continue
        phrases = [" ".join(phrase.split()) for phrase in text.split("=")]
        if len(phrases) < 2 or not all(map(_joined, phrases)):
            raise InputError(
                f"{file}, line {number}: {line.strip()[:80]!r} names no synonyms",
                hint="write them as: k8s = kubernetes",
            )
        groups.append(tuple(phrases))
    return tuple(groups)
