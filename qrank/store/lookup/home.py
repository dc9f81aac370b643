"""The folder that an index stands in. Paths below it go with the index when that is found in
another folder with its files: a project that was renamed, moved, copied or mounted elsewhere."""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path
from typing import NamedTuple

from qrank.names import disk_path, folder_key, named_path, on_disk
from qrank.store import decode, documents

_log = logging.getLogger("qrank")
OWN_FOLDER = ".qrank"  # of a project: its index is about the folder around it
SAMPLE = 50  # files from the first and from the last on, that are searched for on the disk
_TABLES = ("file", "left_out", "root")  # that have paths
_MARK = ":"  # before a path that is being rewritten; no absolute path begins so


class Move(NamedTuple):
    """Paths below the folder old are below new now; both are the same when they stay."""

    old: str
    new: str

    @property
    def moves_paths(self) -> bool:
        """Whether the paths are others now."""
        return self.old != self.new

    def path(self, column: str = "path") -> str:
        """SQL for where the path in a column is now."""
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
    """A text as SQL: views have no parameters."""
    return "'" + value.replace("'", "''") + "'"


def folder_of(index: Path) -> str:
    """The folder that an index stands in, as paths are stored: that of its file, or the one around
    a project's .qrank."""
    file = os.path.realpath(index) if index.is_symlink() else on_disk(str(index))
    folder, name = os.path.split(os.path.dirname(file))  # noqa: PTH120
    return named_path(folder if name == OWN_FOLDER else os.path.dirname(file))  # noqa: PTH120


def settle(connection: sqlite3.Connection, index: Path) -> None:
    """Note the folder that an index stands in; when it was moved with its files since it was last
    written, rewrite their paths, in one transaction. Writes."""
    here = folder_of(index)
    if _noted(connection) == here:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = _noted(connection)  # another run may have been first
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
    """Let a connection for reading see the paths where they are now, also of an index that can't
    be written."""
    move = _move(connection, folder_of(index))
    if not (move and move.moves_paths):
        return
    # Another run may rewrite the paths meanwhile, and the new folder may be below the old one.
    moved = (
        f"CASE WHEN (SELECT path FROM home) = {_text(move.old)} THEN {move.path()} ELSE path END"
    )
    connection.execute("PRAGMA temp_store = MEMORY")  # there may be no room for a temporary file
    for table in _TABLES:
        names = [str(row[1]) for row in connection.execute(f"PRAGMA main.table_info({table})")]
        columns = ", ".join(f"{moved} AS path" if name == "path" else name for name in names)
        connection.execute(f"CREATE TEMP VIEW {table} AS SELECT {columns} FROM main.{table}")


def _noted(connection: sqlite3.Connection) -> str:
    """The folder that was noted, empty when none was."""
    rows = connection.execute("SELECT path FROM home LIMIT 1")
    return next((decode.name(path) for (path,) in decode.rows(rows, (str,), "the folder")), "")


def _move(connection: sqlite3.Connection, here: str) -> Move | None:
    """Where what lay in the folder that was noted is now: here, when most of some files are found
    here. None when they are in neither folder, so that nobody knows."""
    old = _noted(connection)
    move, stays = Move(old, here), Move(old, old)
    if not old or old == here:
        return stays
    placed = f"SELECT path, {move.path()}, %s FROM %s WHERE {move.is_below()}"
    files: list[tuple[str, str, int]] = []
    for order in ("id", "id DESC"):
        sql = f"{placed % ('size', 'file')} AND member = '' ORDER BY {order} LIMIT {SAMPLE}"
        files += decode.rows(connection.execute(sql), (str, str, int), "a file")
    if not files:
        sql = f"{placed % (0, 'root')} OR path = {_text(old)}"
        return move if connection.execute(sql).fetchone() else stays
    before = [(_size(path), size) for path, _, size in files]
    now = [(_size(path), size) for _, path, size in files]
    if not any(actual is not None for actual, _ in before):
        return move if any(actual is not None for actual, _ in now) else None
    same_before, same_now = (
        sum(actual == size for actual, size in place) for place in (before, now)
    )
    return move if same_now and 2 * same_now >= same_before else stays


def _size(path: str) -> int | None:
    try:
        return os.stat(disk_path(decode.name(path))).st_size  # noqa: PTH116
    except (OSError, ValueError):
        return None


def _rewrite(connection: sqlite3.Connection, move: Move) -> None:
    """Marked first: the new folder may be below the old one, or the other way round. What the index
    held at a new path before goes."""
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
