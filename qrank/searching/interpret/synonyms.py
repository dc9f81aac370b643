"""The user's synonyms and acronyms: `synonyms.txt` beside the index, one group per line. For an
index in a search engine it is the file beside the user's own index file.

    k8s = kubernetes
    ML = machine learning = statistical learning   # a comment

A query that contains a phrase of a group is searched for the group's other phrases, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from qrank import files
from qrank.analysis.text import phrase_terms, tokens
from qrank.errors import InputError
from qrank.searching.query import ParsedQuery
from qrank.urls import IndexPlace

NAME = "synonyms.txt"
MOST_BYTES = 1 << 20
MOST_ADDED = 16  # phrases added to one query


def add_synonyms(
    parsed: ParsedQuery, index: IndexPlace, languages: Sequence[str] = ()
) -> ParsedQuery:
    """Add the synonyms of a query's words to it. index: where the index is. Raises InputError for
    a file that can't be read or parsed."""
    file = (index if isinstance(index, Path) else Path(_own_index())).with_name(NAME)
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
    return parsed._replace(
        variants=variants,
        compounds=(*parsed.compounds, *map(_joined, phrases)),
        also=tuple(phrases),
        synonyms=tuple(also[phrase] for phrase in phrases),
    )


def _own_index() -> str:
    from qrank.settings import NO_SETTINGS

    return str(NO_SETTINGS.index_path())


def synonym_terms(parsed: ParsedQuery) -> list[str]:
    """The terms of the synonyms that were added to a query, to highlight them."""
    return [terms[0] for phrase in parsed.also for _, _, terms in tokens(phrase)]


def _joined(phrase: str, latin: str = "english") -> str:
    return " ".join(phrase_terms(phrase, latin)[0])


@lru_cache(maxsize=4)
def _groups(file: Path, mtime_ns: int, size: int) -> tuple[tuple[str, ...], ...]:
    """The file's groups of synonyms; cached until its time or size changes."""
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
