"""Which chunks a search may return."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qrank.names import path_globs
from qrank.store import decode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Phrase:
    """Terms that follow one another, in a chunk's text or title, or in its title alone.

    open_end: the last term may be the beginning of a longer one. variants: the same words as
    they are indexed in documents of other languages; any of them will do.
    """

    terms: tuple[str, ...]
    title: bool = False
    open_end: bool = False
    variants: tuple[tuple[str, ...], ...] = ()

    def fts(self) -> str:
        """The phrase as an FTS5 expression.

        >>> Phrase(("red", 'a"b')).fts(), Phrase(("茶",), title=True, open_end=True).fts()
        ('{body title} : "red" + "a""b"', '{title} : "茶" *')
        """
        columns = "{title}" if self.title else "{body title}"
        own = f"{columns} : " + " + ".join(map(quoted, self.terms)) + " *" * self.open_end
        others = (f"{columns} : " + " + ".join(map(quoted, terms)) for terms in self.variants)
        return " OR ".join([own, *others])


@dataclass(frozen=True, slots=True)
class Filter:
    """What a chunk must be like; nothing is asked where a field is empty.

    collections: its file is in any of these. paths: its file's whole path matches any of these
    SQLite GLOBs. suffixes: so ends its file's name ('.md'), in any case. since_ns, until_ns: when
    its file was last changed, Unix time. required: it holds all of these; excluded: none of these.
    """

    collections: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None
    required: tuple[Phrase, ...] = ()
    excluded: tuple[Phrase, ...] = ()

    @classmethod
    def of(cls, collections: tuple[str, ...] = (), path: str | None = None) -> Filter:
        """A filter from what a user typed; path: as names.path_globs takes it."""
        return cls(collections, path_globs(path) if path else ())

    def of_file(self, *, collections: bool = True) -> tuple[str, list[object]]:
        """A condition on the table file and its arguments; an empty one lets everything pass."""
        clauses: list[str] = []
        values: list[object] = []

        def any_of(clause: str, wanted: tuple[str, ...]) -> None:
            if wanted:
                clauses.append("(" + " OR ".join([clause] * len(wanted)) + ")")
                values.extend(wanted)

        any_of("file.collection = ?", self.collections if collections else ())
        any_of("file.path GLOB ?", self.paths)
        any_of(
            "lower(file.path) GLOB ?", tuple("*" + glob_of(end.lower()) for end in self.suffixes)
        )
        for clause, time in (("mtime_ns >= ?", self.since_ns), ("mtime_ns < ?", self.until_ns)):
            if time is not None:
                clauses.append(f"file.{clause}")
                values.append(time)
        return " AND ".join(clauses), values

    def of_chunk(self) -> tuple[str, list[object]]:
        """A condition on the tables chunk and file, phrases included, and its arguments."""
        condition, values = self.of_file()
        clauses = [condition] if condition else []
        if self.required:
            clauses.append("chunk.id IN (SELECT rowid FROM terms WHERE terms MATCH ?)")
            values.append(" AND ".join(f"({phrase.fts()})" for phrase in self.required))
        if self.excluded:
            clauses.append("chunk.id NOT IN (SELECT rowid FROM terms WHERE terms MATCH ?)")
            values.append(" OR ".join(f"({phrase.fts()})" for phrase in self.excluded))
        return " AND ".join(clauses), values

    def passages(self, connection: sqlite3.Connection) -> NDArray[np.bool_] | None:
        """For each passage id whether one of its chunks passes, the last False; None: all do."""
        import numpy as np

        condition, values = self.of_chunk()
        if not condition:
            return None
        last = connection.execute("SELECT max(id) FROM passage").fetchone()[0] or 0
        if last > decode.MOST_PASSAGES:
            raise decode.DamagedError(f"a passage has the number {last}")
        rows = connection.execute(
            "SELECT chunk.passage_id FROM file CROSS JOIN chunk ON chunk.file_id = file.id "
            f"WHERE {condition}",
            values,
        )
        allowed = np.zeros(last + 2, dtype=np.bool_)
        checked = decode.rows(rows, (int,), "a chunk")
        found = np.fromiter((row[0] for row in checked), dtype=np.int64)
        if len(found) and not 0 < found.min() <= found.max() <= last:
            raise decode.DamagedError("a chunk is of no passage")
        allowed[found] = True
        return allowed


def quoted(term: str) -> str:
    """A term as an FTS5 string."""
    return '"' + term.replace('"', '""') + '"'


def glob_of(text: str) -> str:
    """A GLOB that matches text alone.

    >>> glob_of("a[1]*.md")
    'a[[]1][*].md'
    """
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)


EVERYTHING = Filter()
