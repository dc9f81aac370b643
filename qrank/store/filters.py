"""Filters of chunks, as plain records that each store translates (the SQLite store in
`conditions.py`)."""

from __future__ import annotations

from typing import Literal, NamedTuple

Bound = tuple[Literal["<", "<=", ">", ">="], float]


class Phrase(NamedTuple):
    """Consecutive terms in a chunk's text or title.

    open_end: the last term is a prefix. variants: alternatives, the same words as indexed in
    documents of other languages.
    """

    terms: tuple[str, ...]
    title: bool = False  # only in the title
    own: bool = False  # only in the text
    open_end: bool = False
    variants: tuple[tuple[str, ...], ...] = ()


class Test(NamedTuple):
    """A test of a field's value; without any condition, that the field exists.

    names: fields, of which any may pass. text: the value (qrank.analysis.fields.folded); part: a
    substring of it; word: whole words in it. kind: see qrank.analysis.fields; bounds: of a number,
    or of a date in seconds since 1970.
    """

    names: tuple[str, ...]
    text: str | None = None
    part: str | None = None
    word: str | None = None
    kind: str = ""
    bounds: tuple[Bound, ...] = ()


class FileTest(NamedTuple):
    """A test of the file of a chunk. column: "size" (bytes), "mtime" (seconds since 1970), "title",
    "path", "collection" or "language". names, paths, suffixes: as in Filter; the rest as in
    Test."""

    column: str = ""
    text: str | None = None
    part: str | None = None
    word: str | None = None
    bounds: tuple[Bound, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()


class Condition(NamedTuple):
    """At least one of some tests passes; negated: none does."""

    tests: tuple[Test | FileTest, ...]
    negated: bool = False


class Filter(NamedTuple):
    """Conditions on a chunk; an empty field is no condition, the others must all be met.

    collections: its file is in one of these. names: its file is one of these paths, or below one;
    paths: globs for the whole path, in which * and ? match slashes, too, used where the store has
    no file for names. Both ignore differences of Unicode normalisation. suffixes: endings of the
    file name (".md"), ignoring case. since_ns, until_ns: its own date, else the file's mtime, in ns
    since 1970, until_ns exclusive. conditions: all pass. required: it has all of these phrases;
    excluded: none of these.
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
