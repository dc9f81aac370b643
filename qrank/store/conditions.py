"""A filter as SQL: conditions on the tables file, chunk and terms, and FTS5 expressions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qrank.names import composed
from qrank.results import IN_ARCHIVE
from qrank.store import decode
from qrank.store.filters import Filter, Phrase

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


# The path of a file, of a member with that of the file it is in before it; and the name alone.
LOCATION = (
    f"CASE file.member WHEN '' THEN file.path ELSE file.path || '{IN_ARCHIVE}' || file.member END"
)


def of_file(filter: Filter, *, collections: bool = True) -> tuple[str, list[object]]:
    """A condition on the table file and its arguments; an empty one lets everything pass.
    collections: whether the filter's collections are part of it.

    >>> of_file(Filter(("notes",), since_ns=5))
    ('(file.collection = ?) AND file.mtime_ns >= ?', ['notes', 5])
    """
    clauses: list[str] = []
    values: list[object] = []

    def any_of(clause: str, alternatives: Sequence[str]) -> None:
        if alternatives:
            clauses.append("(" + " OR ".join([clause] * len(alternatives)) + ")")
            values.extend(alternatives)

    any_of("file.collection = ?", filter.collections if collections else ())
    condition, arguments = _of_path(filter)
    if condition:
        clauses.append(condition)
        values.extend(arguments)
    endings = ["*" + glob_of(suffix.lower()) for suffix in filter.suffixes]
    any_of(f"lower({LOCATION}) GLOB ?", endings)
    for clause, time in (("mtime_ns >= ?", filter.since_ns), ("mtime_ns < ?", filter.until_ns)):
        if time is not None:
            clauses.append(f"file.{clause}")
            values.append(time)
    return " AND ".join(clauses), values


def _of_path(filter: Filter) -> tuple[str, list[object]]:
    """What a filter's names and paths say, as a condition on the table file and its arguments."""
    alternatives: list[str] = []
    arguments: list[object] = []
    named = [name.rstrip("/") for name in filter.names]
    globs = [glob for name in named for glob in (glob_of(name), f"{glob_of(name)}/*")]
    names, values = _matches(globs)
    if names:
        alternatives.append(names)
        arguments += values
    paths, others = _matches(filter.paths)
    if names and paths:  # (the query within is run once)
        alternatives.append(f"({paths} AND NOT EXISTS (SELECT 1 FROM file WHERE {names}))")
        arguments += [*others, *values]
    elif paths:
        alternatives.append(paths)
        arguments += others
    return f"({' OR '.join(alternatives)})" if alternatives else "", arguments


def _matches(globs: Sequence[str]) -> tuple[str, list[object]]:
    """A condition that a file's path matches one of globs; its path may be that of a member, or of
    what it is in."""
    clauses: list[str] = []
    values: list[object] = []
    for glob in globs:
        # What is written with one character in one form of Unicode may be two in another.
        plain = glob.isascii() and not any(wildcard in glob for wildcard in "?[")
        compared = ("file.path", LOCATION) if plain else ("nfc(file.path)", f"nfc({LOCATION})")
        clauses += [f"{path} GLOB ?" for path in compared]
        values += [composed(glob)] * 2
    return f"({' OR '.join(clauses)})" if clauses else "", values


def of_chunk(filter: Filter) -> tuple[str, list[object]]:
    """A condition on the tables chunk and file, phrases included, and its arguments."""
    condition, values = of_file(filter)
    clauses = [condition] if condition else []
    if filter.required:
        clauses.append("chunk.id IN (SELECT rowid FROM terms WHERE terms MATCH ?)")
        values.append(" AND ".join(f"({expression(phrase)})" for phrase in filter.required))
    if filter.excluded:
        clauses.append("chunk.id NOT IN (SELECT rowid FROM terms WHERE terms MATCH ?)")
        values.append(" OR ".join(f"({expression(phrase)})" for phrase in filter.excluded))
    return " AND ".join(clauses), values


def passages(filter: Filter, connection: sqlite3.Connection) -> NDArray[np.bool_] | None:
    """For each passage id whether one of its chunks passes, the last False; None: all do."""
    import numpy as np

    condition, values = of_chunk(filter)
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
    checked = decode.rows(rows, (int,), "a chunk")
    ids = np.fromiter((row[0] for row in checked), dtype=np.int64)
    if len(ids) and not 0 < ids.min() <= ids.max() <= last:
        raise decode.DamagedError("a chunk is of no passage")
    allowed = np.zeros(last + 2, dtype=np.bool_)
    allowed[ids] = True
    return allowed


def expression(phrase: Phrase) -> str:
    """A phrase as an FTS5 expression.

    >>> expression(Phrase(("red", 'a"b'))), expression(Phrase(("茶",), title=True, open_end=True))
    ('{body title} : "red" + "a""b"', '{title} : "茶" *')
    """
    columns = "{title}" if phrase.title else "{body}" if phrase.own else "{body title}"
    own = f"{columns} : " + " + ".join(map(quoted, phrase.terms)) + " *" * phrase.open_end
    others = (f"{columns} : " + " + ".join(map(quoted, terms)) for terms in phrase.variants)
    return " OR ".join([own, *others])


def quoted(term: str) -> str:
    """A term as an FTS5 string."""
    return '"' + term.replace('"', '""') + '"'


def glob_of(text: str) -> str:
    """A GLOB that matches text alone.

    >>> glob_of("a[1]*.md")
    'a[[]1][*].md'
    """
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)
