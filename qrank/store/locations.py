"""Which rows a location means: a file's path, or a member's after that of what it is in."""

from __future__ import annotations

import sqlite3

from qrank.results import IN_ARCHIVE
from qrank.store import decode


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
    found = list(decode.rows(rows, (int, str), "a file"))
    return [i for i, collection in found if collection == found[0][1]]


def whole_files(connection: sqlite3.Connection, file_ids: list[int]) -> list[int]:
    """The rows of files, those of all that is in them with them."""
    sql = (
        "SELECT inner.id FROM file JOIN file AS inner ON inner.collection = file.collection AND "
        "inner.path = file.path AND (file.member = '' OR inner.id = file.id) WHERE file.id = ?"
    )
    return [row[0] for file_id in file_ids for row in connection.execute(sql, (file_id,))]
