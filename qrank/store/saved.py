"""What a store keeps only to save time: models' answers and their files' hashes.

It is written on a connection of its own, in passing; a read-only or busy file does without.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qrank.store import decode
from qrank.store.connection import translate_sqlite_errors, write_if_possible

CACHE_ROWS = 20_000  # 1 MB of scores; 80 MB if all were query vectors of 1024 dims


class Saved:
    """The part of a store that may be forgotten."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    def _rows(
        self, sql: str, arguments: Sequence[object], kinds: decode.Kinds, what: str = "a row"
    ) -> list[Any]:
        """All rows, their values of such types; what: what a row is."""
        with translate_sqlite_errors(self.path):
            return list(decode.rows(self._connection.execute(sql, arguments), kinds, what))

    def known_hash(self, path: str, size: int, mtime_ns: int) -> str | None:
        """The SHA-256 of a model file that looked the same when it was last hashed."""
        rows = self._rows(
            "SELECT sha256 FROM model_file WHERE path = ? AND size = ? AND mtime_ns = ?",
            (path, size, mtime_ns),
            (str,),
            "a model's file",
        )
        return rows[0][0] if rows else None

    def note_hash(self, path: str, size: int, mtime_ns: int, sha256: str) -> None:
        """Remember a model file's hash."""
        self._save(
            "INSERT OR REPLACE INTO model_file (path, size, mtime_ns, sha256) VALUES (?, ?, ?, ?)",
            [(path, size, mtime_ns, sha256)],
        )

    def recall(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The cached values of keys, as far as there are any."""
        found: dict[bytes, bytes] = {}
        for key in keys:
            sql = "SELECT key, value FROM cache WHERE key = ?"
            found.update(self._rows(sql, (key,), (bytes, bytes), "a cached answer"))
        return found

    def remember(self, values: Mapping[bytes, bytes]) -> None:
        """Cache values under their keys; beyond CACHE_ROWS the oldest go."""
        self._save(
            "INSERT OR REPLACE INTO cache (key, value) VALUES (?, ?)",
            list(values.items()),
            f"DELETE FROM cache WHERE id <= (SELECT max(id) FROM cache) - {CACHE_ROWS}",
        )

    def clear_cache(self) -> int:
        """Forget all cached values; returns how many there were."""
        with translate_sqlite_errors(self.path):
            return self._connection.execute("DELETE FROM cache").rowcount

    def _save(self, sql: str, rows: Sequence[tuple[object, ...]], after: str = "") -> None:
        if rows and not self._connection.in_transaction:
            write_if_possible(self.path, sql, rows, after)
