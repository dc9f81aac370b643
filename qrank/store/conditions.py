"""A filter as SQL: conditions on the tables file, chunk and terms, and FTS5 expressions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from qrank.names import composed
from qrank.results import IN_ARCHIVE
from qrank.store import decode
from qrank.store.filters import EVERYTHING, Condition, FileTest, Filter, Phrase, Test

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


# SQL for a document's location: the path of its file, followed by a member's path.
LOCATION = (
    f"CASE file.member WHEN '' THEN file.path ELSE file.path || '{IN_ARCHIVE}' || file.member END"
)


# Joins a chunk's record (store/records.py) to a query of the table chunk.
WITH_RECORD = (
    "JOIN record ON record.first = (SELECT max(r.first) FROM record AS r WHERE r.first <= {0})"
)
OF_CHUNK = WITH_RECORD.format("chunk.id")
MOST_RECORDS, MOST_CHUNKS = 16_384, 131_072  # listed for a selective filter before a search
SAMPLE = 256  # chunks from which the share that passes a filter is estimated
MANY = 0.1  # the share from which a filter is not selective
MOST_TRIED = 16_384  # hits to which a filter is applied after a search


def of_file(filter: Filter, *, collections: bool = True) -> tuple[str, list[object]]:
    """A condition on the table file and its arguments; empty when all files pass. collections:
    whether to include the filter's collections. Dates and conditions on fields are not included, as
    they depend on the record.

    >>> of_file(Filter(("notes",), suffixes=(".md",)))[1]
    ['notes', '*.md']
    """
    clauses: list[str] = []
    values: list[object] = []
    if collections and filter.collections:
        clauses.append("(" + " OR ".join(["file.collection = ?"] * len(filter.collections)) + ")")
        values += filter.collections
    for condition, arguments in (
        _of_path(filter.names, filter.paths),
        _of_suffix(filter.suffixes),
    ):
        if condition:
            clauses.append(condition)
            values += arguments
    return " AND ".join(clauses), values


def of_record(filter: Filter, *, collections: bool = True) -> tuple[str, list[object]]:
    """A condition on the tables record and file, with dates and fields, as of_file.

    >>> of_record(Filter(("notes",), since_ns=5))
    ('(file.collection = ?) AND record.date_ns >= ?', ['notes', 5])
    """
    condition, values = of_file(filter, collections=collections)
    clauses = [condition] if condition else []
    for clause, moment in (("date_ns >= ?", filter.since_ns), ("date_ns < ?", filter.until_ns)):
        if moment is not None:
            clauses.append(f"record.{clause}")
            values.append(moment)
    for each in filter.conditions:
        tests = [_tested(test) for test in each.tests]
        any_of = " OR ".join(clause for clause, _ in tests)
        clauses.append(f"NOT ({any_of})" if each.negated else f"({any_of})")
        values += [value for _, arguments in tests for value in arguments]
    return " AND ".join(clauses), values


def _tested(test: Test | FileTest) -> tuple[str, list[object]]:
    if isinstance(test, FileTest):
        return _of_file_test(test)
    clause, values = _of_value(test)
    names = ", ".join("?" * len(test.names))
    sql = (
        "EXISTS (SELECT 1 FROM record_value AS link CROSS JOIN field_value "
        "ON field_value.id = link.value_id WHERE link.record = record.first AND "
        f"name_id IN (SELECT id FROM field_name WHERE name IN ({names}))"
    )
    return f"{sql} AND {clause})" if clause else f"{sql})", [*test.names, *values]


def _of_value(test: Test) -> tuple[str, list[object]]:
    """The condition of a test on the table field_value, and its arguments."""
    clauses, values = _of_text("field_value.folded", test)
    if test.kind:
        clauses.append("field_value.kind = ?")
        values.append(test.kind)
    for sign, bound in test.bounds:
        clauses.append(f"field_value.number {sign} ?")
        values.append(bound)
    return " AND ".join(clauses), values


def _of_text(column: str, test: Test | FileTest) -> tuple[list[str], list[object]]:
    tests = (
        ("{} = ?", test.text),
        ("instr({}, ?) > 0", test.part),
        ("has_words({}, ?)", test.word),
    )
    clauses = [(clause.format(column), value) for clause, value in tests if value is not None]
    return [clause for clause, _ in clauses], [value for _, value in clauses]


_COLUMNS = {
    "size": "file.size",
    "mtime": "(file.mtime_ns / 1e9)",
    "title": "folded(file.title)",
    "path": f"folded({LOCATION})",
    "collection": "folded(file.collection)",
    "language": "folded(file.language)",
}


def _of_file_test(test: FileTest) -> tuple[str, list[object]]:
    clauses: list[str] = []
    values: list[object] = []
    if test.column:
        column = _COLUMNS[test.column]
        clauses, values = _of_text(column, test)
        for sign, bound in test.bounds:
            clauses.append(f"{column} {sign} ?")
            values.append(bound)
    for condition, arguments in (
        _of_path(test.names, test.paths),
        _of_suffix(test.suffixes),
    ):
        if condition:
            clauses.append(condition)
            values += arguments
    return f"({' AND '.join(clauses)})" if clauses else "1", values


def _of_suffix(suffixes: Sequence[str]) -> tuple[str, list[object]]:
    """A condition that a file name ends in one of suffixes, and its arguments."""
    clause = " OR ".join([f"lower({LOCATION}) GLOB ?"] * len(suffixes))
    endings: list[object] = ["*" + glob_of(suffix.lower()) for suffix in suffixes]
    return f"({clause})" if clause else "", endings


def _of_path(within: Sequence[str], path_globs: Sequence[str]) -> tuple[str, list[object]]:
    """A filter's names and paths as a condition on the table file, and its arguments."""
    alternatives: list[str] = []
    arguments: list[object] = []
    named = [name.rstrip("/") for name in within]
    globs = [glob for name in named for glob in (glob_of(name), f"{glob_of(name)}/*")]
    names, values = _matches(globs)
    if names:
        alternatives.append(names)
        arguments += values
    paths, others = _matches(path_globs)
    if names and paths:  # (SQLite runs the inner query once)
        alternatives.append(f"({paths} AND NOT EXISTS (SELECT 1 FROM file WHERE {names}))")
        arguments += [*others, *values]
    elif paths:
        alternatives.append(paths)
        arguments += others
    return f"({' OR '.join(alternatives)})" if alternatives else "", arguments


def _matches(globs: Sequence[str]) -> tuple[str, list[object]]:
    """A condition that a file's path, or its location with the member, matches one of globs, and
    its arguments."""
    clauses: list[str] = []
    values: list[object] = []
    for glob in globs:
        # ? and [ match one character: é may be stored as two.
        plain = glob.isascii() and not any(wildcard in glob for wildcard in "?[")
        paths = ("file.path", LOCATION) if plain else ("nfc(file.path)", f"nfc({LOCATION})")
        clauses += [f"{path} GLOB ?" for path in paths]
        values += [composed(glob)] * 2
    return f"({' OR '.join(clauses)})" if clauses else "", values


def of_chunk(filter: Filter) -> tuple[str, list[object]]:
    """A condition on the tables chunk, record and file, with the filter's phrases, and its
    arguments."""
    condition, values = of_record(filter)
    clauses = [condition] if condition else []
    if filter.required:
        clauses.append("chunk.id IN (SELECT rowid FROM terms WHERE terms MATCH ?)")
        values.append(" AND ".join(f"({expression(phrase)})" for phrase in filter.required))
    if filter.excluded:
        clauses.append("chunk.id NOT IN (SELECT rowid FROM terms WHERE terms MATCH ?)")
        values.append(" OR ".join(f"({expression(phrase)})" for phrase in filter.excluded))
    return " AND ".join(clauses), values


def plan(
    filter: Filter, connection: sqlite3.Connection, limit: int
) -> tuple[list[int] | None, int]:
    """How to search with a filter, by a sample of chunks spread over the index: (the ids of all
    chunks that pass, ignoring phrases, None where they are many; how many hits of a search without
    the filter probably include limit that pass)."""
    last = connection.execute("SELECT max(id) FROM chunk").fetchone()[0] or 0
    step = max(1, last // SAMPLE)
    sample = range(1 + step // 2, last + 1, step)
    share = len(passing(filter, connection, sample)) / max(1, len(sample))
    chunk_ids = selected_chunks(filter, connection) if share < MANY else None
    return chunk_ids, min(MOST_TRIED, int(2 * limit / share) + 1 if share else MOST_TRIED)


def selected_chunks(filter: Filter, connection: sqlite3.Connection) -> list[int] | None:
    """The ids of the chunks that pass, ignoring phrases, in order; None when there are too many to
    list before a search, or finding out takes too long."""
    condition, values = of_record(filter)
    for driver, arguments in _drivers(filter):
        cursor = connection.execute(f"{driver} LIMIT {MOST_RECORDS + 1}", arguments)
        records = {row[0] for row in decode.rows(cursor, (int,), "a record")}
        if len(records) > MOST_RECORDS:
            continue
        rows = connection.execute(
            "SELECT first, last FROM json_each(?) AS ids CROSS JOIN record ON first = ids.value "
            f"CROSS JOIN file ON file.id = record.file_id WHERE {condition} ORDER BY first",
            (json.dumps(sorted(records)), *values),
        )
        spans = list(decode.rows(rows, (int, int), "a record"))
        if sum(last + 1 - first for first, last in spans) <= MOST_CHUNKS:
            return [i for first, last in spans for i in range(first, last + 1)]
    return None


def _drivers(filter: Filter) -> Iterator[tuple[str, list[object]]]:
    """Queries, with arguments, for the ids of supersets of the records that pass a filter; each
    uses an index for some of the filter's conditions."""
    for each in filter.conditions:
        tests = [test for test in each.tests if isinstance(test, Test)]
        if each.negated or len(tests) < len(each.tests):
            continue
        parts, values = [], []
        for test in tests:
            clause, arguments = _of_value(test)
            parts.append(
                "SELECT record FROM field_name CROSS JOIN field_value "
                "ON name_id = field_name.id CROSS JOIN record_value ON value_id = field_value.id "
                f"WHERE name IN ({', '.join('?' * len(test.names))})"
                + (f" AND {clause}" if clause else "")
            )
            values += [*test.names, *arguments]
        yield " UNION ALL ".join(parts), values
    if filter.since_ns is not None or filter.until_ns is not None:
        dates = EVERYTHING._replace(since_ns=filter.since_ns, until_ns=filter.until_ns)
        condition, values = of_record(dates)
        yield f"SELECT first FROM record WHERE {condition}", values
    rest = filter._replace(since_ns=None, until_ns=None, conditions=_of_files(filter))
    condition, values = of_record(rest)
    if condition:
        yield (
            "SELECT record.first FROM file CROSS JOIN record ON record.file_id = file.id "
            f"WHERE {condition}",
            values,
        )


def _of_files(filter: Filter) -> tuple[Condition, ...]:
    """The conditions that only test files."""
    return tuple(
        each for each in filter.conditions if all(isinstance(t, FileTest) for t in each.tests)
    )


def passing(filter: Filter, connection: sqlite3.Connection, chunks: Sequence[int]) -> set[int]:
    """Those of chunks that pass a filter, ignoring phrases."""
    condition, values = of_record(filter)
    if not condition:
        return {*chunks}
    rows = connection.execute(
        f"SELECT ids.value FROM json_each(?) AS ids CROSS {WITH_RECORD.format('ids.value')} "
        f"CROSS JOIN file ON file.id = record.file_id WHERE {condition}",
        (json.dumps(list(chunks)), *values),
    )
    return {row[0] for row in decode.rows(rows, (int,), "a chunk")}


def of_texts(
    filter: Filter, connection: sqlite3.Connection, chunk_ids: Sequence[int] | None
) -> NDArray[np.bool_]:
    """Flags by text id, of shape (ids + 1,) with a last False: whether a chunk of the text passes.
    chunk_ids: the chunks to examine, None for all. Raises DamagedError."""
    condition, values = of_chunk(filter)
    last = connection.execute("SELECT max(id) FROM passage").fetchone()[0] or 0
    if last > decode.MOST_TEXTS:
        raise decode.DamagedError(f"a unique text has the number {last}")
    start, arguments = f"file CROSS JOIN chunk ON chunk.file_id = file.id {OF_CHUNK}", list(values)
    if chunk_ids is not None:
        start = (
            f"json_each(?) AS ids CROSS JOIN chunk ON chunk.id = ids.value {OF_CHUNK} "
            "CROSS JOIN file ON file.id = chunk.file_id"
        )
        arguments = [json.dumps(list(chunk_ids)), *values]
    sql = f"SELECT chunk.passage_id FROM {start} WHERE {condition}"
    if chunk_ids is not None and not (filter.required or filter.excluded):  # all of them pass
        sql = "SELECT passage_id FROM json_each(?) AS ids CROSS JOIN chunk ON chunk.id = ids.value"
        arguments = arguments[:1]
    checked = decode.rows(connection.execute(sql, arguments), (int,), "a chunk")
    return _flags((row[0] for row in checked), last)


def texts_among(filter: Filter, connection: sqlite3.Connection, among: Sequence[int]) -> set[int]:
    """Those text ids of among that have a chunk which passes."""
    condition, values = of_chunk(filter)
    rows = connection.execute(
        "SELECT DISTINCT ids.value FROM json_each(?) AS ids "
        f"CROSS JOIN chunk ON chunk.passage_id = ids.value CROSS {OF_CHUNK} "
        f"CROSS JOIN file ON file.id = record.file_id WHERE {condition}",
        (json.dumps(list(among)), *values),
    )
    return {row[0] for row in decode.rows(rows, (int,), "a unique text")}


def _flags(numbers: Iterable[int], last: int) -> NDArray[np.bool_]:
    import numpy as np

    ids = np.fromiter(numbers, dtype=np.int64)
    if len(ids) and not 0 < ids.min() <= ids.max() <= last:
        raise decode.DamagedError("a chunk has no text")
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
    """An SQLite GLOB pattern that matches exactly text.

    >>> glob_of("a[1]*.md")
    'a[[]1][*].md'
    """
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)
