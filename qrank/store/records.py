"""Fields of documents, and of rows and messages in them: writing, removing, listing.

A record is a range of consecutive chunks with the same fields. Each value of a field is stored
once, and linked to the records that have it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qrank.analysis import fields as analysis
from qrank.results import NewChunk
from qrank.store import conditions, decode
from qrank.store.filters import Filter

if TYPE_CHECKING:
    from qrank.reports import FieldCount, ValueCount

GROUP = 1000  # records written at once
FREQUENT = 5  # values shown for each field in a list of fields
MOST_NS = (1 << 63) - 1


@dataclass(slots=True)
class Record:
    """The chunks with ids from first to last. fields: their own as JSON, empty when they have the
    file's; part: tells records with equal fields apart."""

    first: int
    last: int
    file_id: int
    fields: str
    part: int = 0


class Writer:
    """Groups the chunks of a document, added in order, into records."""

    def __init__(
        self, connection: sqlite3.Connection, file_id: int, fields: str, mtime_ns: int
    ) -> None:
        self._connection, self._file_id = connection, file_id
        self._fields, self._mtime_ns = fields, mtime_ns
        self._records: list[Record] = []

    def add(self, chunk_id: int, chunk: NewChunk) -> None:
        """Add the next chunk; writes records when there are GROUP of them."""
        part = chunk.part if chunk.fields else 0
        last = self._records[-1] if self._records else None
        if last and (last.fields, last.part) == (chunk.fields, part):
            last.last = chunk_id
            return
        if len(self._records) >= GROUP:
            self.write()
        self._records.append(Record(chunk_id, chunk_id, self._file_id, chunk.fields, part))

    def write(self) -> None:
        """Write the records that were not written yet."""
        write(self._connection, self._records, self._fields, self._mtime_ns)
        self._records = []


def write(
    connection: sqlite3.Connection, records: Sequence[Record], fields: str, mtime_ns: int
) -> None:
    """Add records of one file; fields (JSON), mtime_ns: the file's. Writes. Raises DamagedError."""
    shared = decode.json_object(fields)
    rows: list[tuple[int, int, int, int, int, str]] = []
    values: list[tuple[int, analysis.Value]] = []
    for record in records:
        own_values = decode.json_object(record.fields) if record.fields else shared
        own = analysis.own_date(own_values)
        date_ns = mtime_ns if own is None else round(own * 1e9)
        date_ns = max(-MOST_NS, min(date_ns, MOST_NS))
        rows.append(
            (record.first, record.last, record.file_id, date_ns, own is not None, record.fields)
        )
        values += ((record.first, value) for value in analysis.values(own_values))
    run = connection.executemany
    run(
        "INSERT INTO record (first, last, file_id, date_ns, dated, fields) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        rows,
    )
    if not values:
        return
    names = dict.fromkeys(value.name for _, value in values)
    run("INSERT OR IGNORE INTO field_name (name) VALUES (?)", [(name,) for name in names])
    run(
        "INSERT OR IGNORE INTO field_value (name_id, kind, text, folded, number) "
        "SELECT id, ?, ?, ?, ? FROM field_name WHERE name = ?",
        [(v.kind, v.text, v.folded, v.number, v.name) for _, v in values],
    )
    run(
        "INSERT OR IGNORE INTO record_value (record, value_id) SELECT ?, field_value.id "
        "FROM field_name JOIN field_value ON name_id = field_name.id WHERE name = ? AND folded = ?",
        [(record, value.name, value.folded) for record, value in values],
    )


def remove(connection: sqlite3.Connection, file_ids: Sequence[int]) -> None:
    """Remove the records of files, and fields and values that no other record has. Writes."""
    run = connection.execute
    records = "SELECT first FROM record WHERE file_id = ?"
    values: set[int] = set()
    for file_id in file_ids:
        value_ids = run(
            f"SELECT value_id FROM record_value WHERE record IN ({records})", (file_id,)
        )
        values.update(row[0] for row in value_ids)
        run(f"DELETE FROM record_value WHERE record IN ({records})", (file_id,))
        run("DELETE FROM record WHERE file_id = ?", (file_id,))
    if values:
        connection.executemany(
            "DELETE FROM field_value WHERE id = ? AND NOT EXISTS "
            "(SELECT 1 FROM record_value WHERE value_id = field_value.id)",
            [(value,) for value in values],
        )
        run(
            "DELETE FROM field_name WHERE NOT EXISTS "
            "(SELECT 1 FROM field_value WHERE name_id = field_name.id)"
        )


def touch(connection: sqlite3.Connection, file_ids: str, value: int, mtime_ns: int) -> None:
    """Store a new mtime of files as the date of those records that have no date of their own.
    file_ids: a query for the files, with value as its argument. Writes."""
    connection.execute(
        f"UPDATE record SET date_ns = ? WHERE NOT dated AND file_id IN ({file_ids})",
        (mtime_ns, value),
    )


def kinds(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """The names of all fields, each with the kinds of its values (see analysis.fields)."""
    rows = connection.execute(
        "SELECT name, group_concat(value) FROM field_name CROSS JOIN json_each(?) AS kinds "
        "WHERE EXISTS (SELECT 1 FROM field_value WHERE name_id = field_name.id AND kind = value) "
        "GROUP BY name ORDER BY name",
        (json.dumps([analysis.TEXT, analysis.NUMBER, analysis.DATE, analysis.TRUTH]),),
    )
    return {name: kinds.split(",") for name, kinds in decode.rows(rows, (str, str), "a field")}


def examples(connection: sqlite3.Connection, name: str, limit: int) -> list[str]:
    """Up to limit values of a field, in no particular order."""
    rows = connection.execute(
        "SELECT text FROM field_name JOIN field_value ON name_id = field_name.id "
        "WHERE name = ? LIMIT ?",
        (name, limit),
    )
    return [row[0] for row in decode.rows(rows, (str,), "a value")]


def facets(connection: sqlite3.Connection, filter: Filter) -> list[FieldCount]:
    """The fields of records that pass a filter, the most frequent first, each with its FREQUENT
    most frequent values."""
    from qrank.reports import FieldCount

    result = []
    for name, own_kinds in kinds(connection).items():
        frequent, distinct = values(connection, name, filter, FREQUENT)
        if distinct:
            records = _count_records(connection, name, filter)
            result.append(FieldCount(name, own_kinds, records, distinct, frequent))
    return sorted(result, key=lambda field: (-field.records, field.name))


def _count_records(connection: sqlite3.Connection, name: str, filter: Filter) -> int:
    """How many records that pass a filter have a field."""
    joins, condition, arguments = _restriction(filter)
    count: int = connection.execute(
        "SELECT count(DISTINCT record) FROM field_name "
        "CROSS JOIN field_value ON name_id = field_name.id "
        f"CROSS JOIN record_value ON value_id = field_value.id {joins} WHERE name = ?{condition}",
        (name, *arguments),
    ).fetchone()[0]
    return count


def values(
    connection: sqlite3.Connection, name: str, filter: Filter, limit: int
) -> tuple[list[ValueCount], int]:
    """(the limit most frequent values of a field in records that pass a filter, the number of
    distinct values)."""
    from qrank.reports import ValueCount

    joins, condition, arguments = _restriction(filter)
    rows = connection.execute(
        "SELECT text, count(*) AS records, count(*) OVER () FROM field_name "
        "CROSS JOIN field_value ON name_id = field_name.id "
        f"CROSS JOIN record_value ON value_id = field_value.id {joins} WHERE name = ?{condition} "
        "GROUP BY field_value.id ORDER BY records DESC, folded LIMIT ?",
        (name, *arguments, limit),
    )
    result = list(decode.rows(rows, (str, int, int), "a value"))
    return [ValueCount(text, count) for text, count, _ in result], result[0][2] if result else 0


def _restriction(filter: Filter) -> tuple[str, str, list[object]]:
    """(joins, condition, arguments) that restrict a query of record_value to a filter."""
    condition, arguments = conditions.of_record(filter)
    if not condition:
        return "", "", []
    joins = (
        "CROSS JOIN record ON record.first = record_value.record "
        "CROSS JOIN file ON file.id = record.file_id"
    )
    return joins, f" AND {condition}", arguments
