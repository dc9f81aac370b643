"""Following an index that was moved together with its files: a project that was renamed, moved,
copied or mounted elsewhere.

The index stores the folder that it is in. When it is found in another folder, and its files are
there, too, stored paths below the old folder are taken to be below the new one.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path
from typing import NamedTuple

from qrank.names import disk_path, folder_key, named_path, on_disk
from qrank.store import decode, documents

_log = logging.getLogger("qrank")
OWN_FOLDER = ".qrank"  # of a project: its index describes the parent folder
SAMPLE = 50  # of the first, and of the last files by id, whose sizes are compared with the disk
FEW = 4  # of each that are enough if they all agree: a moved index is compared at each opening
_TABLES = ("file", "left_out", "root")  # those with a path column
_MARK = ":"  # prefix of a path that is being rewritten; no absolute path starts with it


class Move(NamedTuple):
    """Paths below the folder old are now below new; the same when nothing was moved."""

    old: str
    new: str

    @property
    def moves_paths(self) -> bool:
        """Whether old and new differ."""
        return self.old != self.new

    def path(self, column: str = "path") -> str:
        """SQL for the present path of the one in a column."""
        key, new = folder_key(self.old), folder_key(self.new)
        return (
            f"CASE WHEN {column} = {_text(self.old)} THEN {_text(self.new)} "
            f"WHEN {self.is_below(column)} "
            f"THEN {_text(new)} || substr({column}, {len(key) + 1}) ELSE {column} END"
        )

    def is_below(self, column: str = "path") -> str:
        """SQL for whether the path in a column is below the old folder."""
        key = folder_key(self.old)
        return f"substr({column}, 1, {len(key) + 1}) = {_text(key + '/')}"


def _text(value: str) -> str:
    """A text as an SQL literal: views can't have parameters."""
    return "'" + value.replace("'", "''") + "'"


def folder_of(index: Path) -> str:
    """The folder that an index is in, in the form of stored paths: the folder of its file, or the
    parent of a project's .qrank."""
    file = os.path.realpath(index) if index.is_symlink() else on_disk(str(index))
    folder, name = os.path.split(os.path.dirname(file))  # noqa: PTH120
    return named_path(folder if name == OWN_FOLDER else os.path.dirname(file))  # noqa: PTH120


def settle(connection: sqlite3.Connection, index: Path) -> None:
    """Store the folder that an index is in; when it was moved with its files since it was last
    written, rewrite their paths, all in one transaction. Writes."""
    here = folder_of(index)
    if _stored_folder(connection) == here:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = _stored_folder(connection)  # again: another process may have been faster
        move = _move(connection, here)
        if move and move.moves_paths:
            _rewrite(connection, move)
        if move or not before:
            connection.execute("DELETE FROM home")
            connection.execute("INSERT INTO home (path) VALUES (?)", (here,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    if move and move.moves_paths:
        _log.warning("the index was moved with its files from %s to %s", before, here)


def follow(connection: sqlite3.Connection, index: Path) -> None:
    """Make a reading connection see the present paths of an index that was moved, by temporary
    views, as it may not be writable."""
    move = _move(connection, folder_of(index))
    if not (move and move.moves_paths):
        return
    # Another process may rewrite the paths later: then they must not be mapped a second time, as
    # the new folder may be below the old one.
    moved = (
        f"CASE WHEN (SELECT path FROM home) = {_text(move.old)} THEN {move.path()} ELSE path END"
    )
    connection.execute("PRAGMA temp_store = MEMORY")  # there may be no room for a temporary file
    for table in _TABLES:
        names = [str(row[1]) for row in connection.execute(f"PRAGMA main.table_info({table})")]
        columns = ", ".join(f"{moved} AS path" if name == "path" else name for name in names)
        connection.execute(f"CREATE TEMP VIEW {table} AS SELECT {columns} FROM main.{table}")


def _stored_folder(connection: sqlite3.Connection) -> str:
    """The folder that the index was in when it was last written; empty when it is unknown."""
    rows = connection.execute("SELECT path FROM home LIMIT 1")
    return next((decode.name(path) for (path,) in decode.rows(rows, (str,), "the folder")), "")


def _move(connection: sqlite3.Connection, here: str) -> Move | None:
    """Whether the files moved to here together with the index, by the sizes of a sample of them.
    None when they are in neither folder, so that it can't be told."""
    old = _stored_folder(connection)
    move, stays = Move(old, here), Move(old, old)
    if not old or old == here:
        return stays
    for most in (FEW, SAMPLE):
        files = _sample(connection, move, most)
        before = [(_size(path), size) for path, _, size in files]
        now = [(_size(path), size) for _, path, size in files]
        none_before = all(actual is None for actual, _ in before)
        if files and none_before and all(actual == size for actual, size in now):
            return move
    if not files:
        sql = f"SELECT 1 FROM root WHERE {move.is_below()} OR path = {_text(old)}"
        return move if connection.execute(sql).fetchone() else stays
    if not any(actual is not None for actual, _ in before):
        return move if any(actual is not None for actual, _ in now) else None
    same_before, same_now = (
        sum(actual == size for actual, size in sizes) for sizes in (before, now)
    )
    return move if same_now and 2 * same_now >= same_before else stays


def _sample(connection: sqlite3.Connection, move: Move, most: int) -> list[tuple[str, str, int]]:
    """(stored path, path after the move, size) of the first most files, and of the last, by id."""
    files: list[tuple[str, str, int]] = []
    for order in ("id", "id DESC"):
        rows = connection.execute(
            f"SELECT path, {move.path()}, size FROM file WHERE {move.is_below()} AND member = '' "
            f"ORDER BY {order} LIMIT {most}"
        )
        files += decode.rows(rows, (str, str, int), "a file")
    return files


def _size(path: str) -> int | None:
    try:
        return os.stat(disk_path(decode.name(path))).st_size  # noqa: PTH116
    except (OSError, ValueError):
        return None


def _rewrite(connection: sqlite3.Connection, move: Move) -> None:
    """Rewrite paths in two steps, with a mark between them, as the new folder may be below the old
    one, or the other way round. Documents that are stored under a new path already are removed."""
    for table in _TABLES:
        connection.execute(
            f"UPDATE {table} SET path = '{_MARK}' || {move.path()} "
            f"WHERE {move.is_below()} OR path = {_text(move.old)}"
        )
    marked = f"substr(moved.path, 1, 1) = '{_MARK}'"
    replaced = connection.execute(
        "SELECT file.id FROM file AS moved JOIN file ON file.collection = moved.collection "
        f"AND file.path = substr(moved.path, 2) WHERE {marked} AND moved.member = ''"
    ).fetchall()
    documents.remove(connection, [row[0] for row in replaced])
    for table in _TABLES:
        connection.execute(
            f"UPDATE OR REPLACE {table} AS moved SET path = substr(path, 2) WHERE {marked}"
        )
