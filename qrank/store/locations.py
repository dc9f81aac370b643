"""Lookups of rows by location (a path, with the member's path after it for a file in an archive)
and by document name; roots and settings of collections."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from qrank.analysis.names import name_keys
from qrank.results import IN_ARCHIVE, Signature
from qrank.store import conditions, decode
from qrank.store.filters import Filter
from qrank.store.interface import CollectionSettings, Root, StoredFile

# Of some chunks (a JSON list of ids) those whose document has more than one chunk.
SIBLINGS = (
    "SELECT chunk.id, file_id FROM json_each(?) AS ids CROSS JOIN chunk ON chunk.id = ids.value "
    "WHERE EXISTS (SELECT 1 FROM chunk AS other "
    "WHERE other.file_id = chunk.file_id AND other.id != chunk.id)"
)
PAGE = 1000  # rows per query


def files(
    connection: sqlite3.Connection, collection: str, paths: Sequence[str] | None
) -> Iterator[StoredFile]:
    """The files of a collection (of paths, those that are stored), page by page."""
    kinds = (str, int, bytes, str, int, int, int)
    sql = "SELECT path, id, hash, extractor, size, mtime_ns, ctime_ns FROM file"
    for row in by_path(connection, sql, collection, paths, "AND member = ''"):
        path, i, content_hash, extractor, *signature = decode.row(row, kinds, "a file")
        yield StoredFile(i, path, Signature(*signature), content_hash, extractor)


def by_path(
    connection: sqlite3.Connection,
    sql: str,
    collection: str,
    paths: Sequence[str] | None,
    also: str = "",
) -> Iterator[Any]:
    """The rows of a table of a collection, all or those of paths. sql: selects from the table, path
    first; also: a further condition. A page is read completely before its rows are yielded, as
    the caller may write before the next page."""
    if paths is not None:
        among = f"WHERE collection = ? AND path IN (SELECT value FROM json_each(?)) {also}"
        for at in range(0, len(paths), PAGE):
            part = json.dumps(list(paths[at : at + PAGE]))
            yield from connection.execute(f"{sql} {among}", (collection, part)).fetchall()
        return
    after = ""
    page = f"{sql} WHERE collection = ? AND path > ? {also} ORDER BY path LIMIT {PAGE}"
    while rows := connection.execute(page, (collection, after)).fetchall():
        yield from rows
        after = str(rows[-1][0])


def find(connection: sqlite3.Connection, location: str) -> tuple[list[int], str]:
    """(file ids, member): the rows of a file with all its members, or of one member, in the first
    collection that has it; ([], "") when there is none."""
    forms = ("{0} = {1}",) if location.isascii() else ("{0} = {1}", "nfc({0}) = nfc({1})")
    for equal in forms:
        path, member = location, ""
        while not (files := _files_at(connection, path, member, equal)):
            path, between, name = path.rpartition(IN_ARCHIVE)
            if not between:
                break
            member = f"{name}{IN_ARCHIVE}{member}" if member else name
        if files:
            return files, member
    return [], ""


def _files_at(connection: sqlite3.Connection, path: str, member: str, equal: str) -> list[int]:
    """The ids of rows with a path, in the first collection that has it. equal: an SQL template
    that compares two paths."""
    sql = f"SELECT id, collection FROM file WHERE {equal.format('path', '?')} "
    if member:
        sql += f"AND {equal.format('member', '?')} "
    rows = connection.execute(
        f"{sql} ORDER BY collection, member", (path, member) if member else (path,)
    )
    result = list(decode.rows(rows, (int, str), "a file"))
    return [i for i, collection in result if collection == result[0][1]]


def whole_files(connection: sqlite3.Connection, file_ids: list[int]) -> list[int]:
    """The ids of files and of all their members; of a member its own."""
    sql = (
        "SELECT inner.id FROM file JOIN file AS inner ON inner.collection = file.collection AND "
        "inner.path = file.path AND (file.member = '' OR inner.id = file.id) WHERE file.id = ?"
    )
    return [row[0] for file_id in file_ids for row in connection.execute(sql, (file_id,))]


def add_names(connection: sqlite3.Connection, file_id: int | None, path: str, title: str) -> None:
    """Store the name keys of a document. Writes."""
    rows = [(key, file_id) for key in name_keys(path, title)]
    connection.executemany("INSERT INTO name (key, file_id) VALUES (?, ?)", rows)


def named(key: str, filter: Filter) -> tuple[str, list[object]]:
    """(SQL, arguments) for the ids of chunks of documents with a name key that pass a filter, in
    order of document and position; the caller appends the limit to the arguments."""
    condition, values = conditions.of_chunk(filter)
    sql = (
        "SELECT chunk.id FROM name CROSS JOIN file ON file.id = name.file_id "
        f"CROSS JOIN chunk ON chunk.file_id = file.id {conditions.OF_CHUNK} WHERE name.key = ? "
        + (f"AND {condition} " if condition else "")
        + "ORDER BY file.path, file.member, chunk.id LIMIT ?"
    )
    return sql, [key, *values]


def roots(connection: sqlite3.Connection) -> dict[str, list[Root]]:
    """The roots of each collection."""
    result: dict[str, list[Root]] = {}
    rows = connection.execute("SELECT collection, path, options FROM root ORDER BY 1, 2")
    for collection, path, options in decode.rows(rows, (str, str, str), "a root"):
        result.setdefault(collection, []).append(Root(path, options))
    return result


def set_roots(connection: sqlite3.Connection, collection: str, roots: Iterable[Root]) -> None:
    """Replace the roots of a collection. Writes."""
    connection.execute("DELETE FROM root WHERE collection = ?", (collection,))
    connection.executemany(
        "INSERT INTO root (collection, path, options) VALUES (?, ?, ?)",
        [(collection, root.path, root.options) for root in roots],
    )


def collection_settings(connection: sqlite3.Connection) -> dict[str, CollectionSettings]:
    """The settings of collections by name; those without settings are left out."""
    rows = connection.execute("SELECT name, description, ignored, instruction FROM collection")
    return {
        name: CollectionSettings(description, tuple(ignored.splitlines()), instruction)
        for name, description, ignored, instruction in decode.rows(
            rows, (str, str, str, str), "a collection"
        )
    }


def set_collection(
    connection: sqlite3.Connection, collection: str, settings: CollectionSettings
) -> None:
    """Replace the settings of a collection. Writes."""
    connection.execute("DELETE FROM collection WHERE name = ?", (collection,))
    if settings != CollectionSettings():
        connection.execute(
            "INSERT INTO collection (name, description, ignored, instruction) VALUES (?, ?, ?, ?)",
            (collection, settings.description, "\n".join(settings.ignore), settings.instruction),
        )
