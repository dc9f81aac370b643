"""What documents are called, by which they are found."""

from __future__ import annotations

import sqlite3

from qrank.analysis.names import name_keys
from qrank.store import conditions
from qrank.store.filters import Filter

# Of some chunks (a JSON list of ids) those that are one of several in their document.
SIBLINGS = (
    "SELECT chunk.id, file_id FROM json_each(?) AS ids CROSS JOIN chunk ON chunk.id = ids.value "
    "WHERE EXISTS (SELECT 1 FROM chunk AS other "
    "WHERE other.file_id = chunk.file_id AND other.id != chunk.id)"
)


def add(connection: sqlite3.Connection, file_id: int | None, path: str, title: str) -> None:
    """Note the keys of a document's name and title."""
    rows = [(key, file_id) for key in name_keys(path, title)]
    connection.executemany("INSERT INTO name (key, file_id) VALUES (?, ?)", rows)


def chunks_of(key: str, filter: Filter) -> tuple[str, list[object]]:
    """A query for the ids of chunks of documents that have a key and pass a filter, by document
    and place; its last argument is how many at most."""
    condition, values = conditions.of_chunk(filter)
    sql = (
        "SELECT chunk.id FROM name CROSS JOIN file ON file.id = name.file_id "
        "CROSS JOIN chunk ON chunk.file_id = file.id WHERE name.key = ? "
        + (f"AND {condition} " if condition else "")
        + "ORDER BY file.path, file.member, chunk.id LIMIT ?"
    )
    return sql, [key, *values]
