"""Which rows a location means, a file's path, or a member's after that of what it is in; and which
a name means, by which documents are found; where collections are from, and what about."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from qrank.analysis.names import name_keys
from qrank.results import IN_ARCHIVE
from qrank.store import conditions, decode
from qrank.store.filters import Filter
from qrank.store.interface import CollectionSettings, Root

# Of some chunks (a JSON list of ids) those that are one of several in their document.
SIBLINGS = (
    "SELECT chunk.id, file_id FROM json_each(?) AS ids CROSS JOIN chunk ON chunk.id = ids.value "
    "WHERE EXISTS (SELECT 1 FROM chunk AS other "
    "WHERE other.file_id = chunk.file_id AND other.id != chunk.id)"
)


def find(connection: sqlite3.Connection, location: str) -> tuple[list[int], str]:
    """(ids, member): of a file with all its members, or of one of them; of the first collection
    that holds it. ([], "") when none does."""
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
    """equal: the condition that two paths are the same."""
    sql = f"SELECT id, collection FROM file WHERE {equal.format('path', '?')} "
    if member:
        sql += f"AND {equal.format('member', '?')} "
    rows = connection.execute(
        f"{sql} ORDER BY collection, member", (path, member) if member else (path,)
    )
    result = list(decode.rows(rows, (int, str), "a file"))
    return [i for i, collection in result if collection == result[0][1]]


def whole_files(connection: sqlite3.Connection, file_ids: list[int]) -> list[int]:
    """The rows of files, those of all that is in them with them."""
    sql = (
        "SELECT inner.id FROM file JOIN file AS inner ON inner.collection = file.collection AND "
        "inner.path = file.path AND (file.member = '' OR inner.id = file.id) WHERE file.id = ?"
    )
    return [row[0] for file_id in file_ids for row in connection.execute(sql, (file_id,))]


def add_names(connection: sqlite3.Connection, file_id: int | None, path: str, title: str) -> None:
    """Note the keys of a document's name and title."""
    rows = [(key, file_id) for key in name_keys(path, title)]
    connection.executemany("INSERT INTO name (key, file_id) VALUES (?, ?)", rows)


def named(key: str, filter: Filter) -> tuple[str, list[object]]:
    """A query for the ids of chunks of documents that have a key and pass a filter, by document
    and place; its last argument is how many at most."""
    condition, values = conditions.of_chunk(filter)
    sql = (
        "SELECT chunk.id FROM name CROSS JOIN file ON file.id = name.file_id "
        f"CROSS JOIN chunk ON chunk.file_id = file.id {conditions.OF_CHUNK} WHERE name.key = ? "
        + (f"AND {condition} " if condition else "")
        + "ORDER BY file.path, file.member, chunk.id LIMIT ?"
    )
    return sql, [key, *values]


def roots(connection: sqlite3.Connection) -> dict[str, list[Root]]:
    """What was named to be indexed, by collection."""
    result: dict[str, list[Root]] = {}
    rows = connection.execute("SELECT collection, path, options FROM root ORDER BY 1, 2")
    for collection, path, options in decode.rows(rows, (str, str, str), "a root"):
        result.setdefault(collection, []).append(Root(path, options))
    return result


def set_roots(connection: sqlite3.Connection, collection: str, roots: Iterable[Root]) -> None:
    """Note what was named, in place of all that was noted of the collection."""
    connection.execute("DELETE FROM root WHERE collection = ?", (collection,))
    connection.executemany(
        "INSERT INTO root (collection, path, options) VALUES (?, ?, ?)",
        [(collection, root.path, root.options) for root in roots],
    )


def collection_settings(connection: sqlite3.Connection) -> dict[str, CollectionSettings]:
    """What was said of collections, by their names."""
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
    """Note what is said of a collection, in place of what was."""
    connection.execute("DELETE FROM collection WHERE name = ?", (collection,))
    if settings != CollectionSettings():
        connection.execute(
            "INSERT INTO collection (name, description, ignored, instruction) VALUES (?, ?, ?, ?)",
            (collection, settings.description, "\n".join(settings.ignore), settings.instruction),
        )
