"""Filters of chunks as plain records, which each store carries out its own way
(the SQLite store in `conditions.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Bound = tuple[Literal["<", "<=", ">", ">="], float]


@dataclass(frozen=True, slots=True)
class Phrase:
    """Terms that follow one another, in a chunk's text or title, or in its title alone.

    open_end: the last term may be the beginning of a longer one. variants: the same words as
    they are indexed in documents of other languages; any of them will do.
    """

    terms: tuple[str, ...]
    title: bool = False
    own: bool = False  # in the chunk's own text alone
    open_end: bool = False
    variants: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Test:
    """What a value of a field must be like; nothing is asked where all is empty: it exists.

    names: of fields, any of them. text: the value's text (qrank.analysis.fields.folded); part:
    text that it contains, word: as whole words. kind and bounds: a number, or a date in seconds
    since 1970, that is within them.
    """

    names: tuple[str, ...]
    text: str | None = None
    part: str | None = None
    word: str | None = None
    kind: str = ""
    bounds: tuple[Bound, ...] = ()


@dataclass(frozen=True, slots=True)
class FileTest:
    """What the file of a chunk must be like. column: "size" (bytes), "mtime" (seconds since 1970),
    "title", "path", "name", "collection", "language". names, paths, suffixes: as in Filter; the
    rest as in Test."""

    column: str = ""
    text: str | None = None
    part: str | None = None
    word: str | None = None
    bounds: tuple[Bound, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """Any of some tests holds; negated: none of them."""

    tests: tuple[Test | FileTest, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """What a chunk must be like; nothing is asked where a field is empty.

    collections: its file is in any of these. names: its file is, or lies under, any of these paths;
    where the store has no such file, paths: its file's whole path matches any of these globs, in
    which * and ? stand for slashes, too. Forms of Unicode are not told apart in either. suffixes:
    so ends its file's name (".md"), in any case. since_ns, until_ns: its own date, else when its
    file was last modified, in ns since 1970, the end not included. conditions: all of them hold.
    required: it has all of these; excluded: none of these.
    """

    collections: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None
    conditions: tuple[Condition, ...] = ()
    required: tuple[Phrase, ...] = ()
    excluded: tuple[Phrase, ...] = ()


EVERYTHING = Filter()
