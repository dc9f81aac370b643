"""The user's cache, one SQLite file for all indexes: answers of models, hashes of model files and
measured speeds. Deleting it costs only time.

Its methods never raise: a cache that can't be read is empty, and failed writes are ignored.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from qrank.files import user_folder
from qrank.llama.machine import machine
from qrank.results import Signature

MOST_ANSWERS = 20_000  # 1 MB of scores; 80 MB if all were query vectors of 1024 dims
KEYS_AT_ONCE = 500
BUSY_SECONDS = 0.2  # how long to wait for a lock

_TABLES = """
CREATE TABLE IF NOT EXISTS answer (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS model_file (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS measured_speed (
    machine TEXT NOT NULL, model TEXT NOT NULL, tokens_per_second REAL NOT NULL,
    PRIMARY KEY (machine, model)
);
CREATE TABLE IF NOT EXISTS measured_rate (
    machine TEXT NOT NULL, model TEXT NOT NULL, bytes_per_second REAL NOT NULL,
    load_seconds REAL NOT NULL, PRIMARY KEY (machine, model)
);
DROP TABLE IF EXISTS speed;
DROP TABLE IF EXISTS reading_rate;
"""


class Cache:
    """The cache in the file at path, by default in the user's cache folder. Threads may share it:
    each call opens its own connection, which takes 0.2 ms."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        """The path of the file, which need not exist."""
        if self._path is None:
            self._path = user_folder("cache") / "cache.db"
        return self._path

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The stored values of keys; missing keys are left out."""
        values: dict[bytes, bytes] = {}
        for at in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[at : at + KEYS_AT_ONCE]
            marks = ", ".join("?" * len(some))
            rows = self._rows(f"SELECT key, value FROM answer WHERE key IN ({marks})", some)
            values.update((key, value) for key, value in rows if isinstance(value, bytes))
        return values

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Store values by key; deletes the oldest beyond MOST_ANSWERS."""
        self._write(
            "INSERT OR REPLACE INTO answer (key, value) VALUES (?, ?)",
            list(values.items()),
            f"DELETE FROM answer WHERE id <= (SELECT max(id) FROM answer) - {MOST_ANSWERS}",
        )

    def count(self) -> int:
        """The number of stored answers."""
        rows = self._rows("SELECT count(*) FROM answer")
        return rows[0][0] if rows else 0

    def clear(self) -> None:
        """Delete all answers."""
        self._write("DELETE FROM answer", [()])

    def model_hash(self, path: str, signature: Signature) -> str | None:
        """The stored SHA-256 of a model file, if its signature is unchanged."""
        sql = "SELECT sha256 FROM model_file WHERE (path, size, mtime_ns, ctime_ns) = (?, ?, ?, ?)"
        rows = self._rows(sql, (path, *signature))
        return rows[0][0] if rows else None

    def put_model_hash(self, path: str, signature: Signature, sha256: str) -> None:
        """Store a model file's SHA-256."""
        self._write(
            "INSERT OR REPLACE INTO model_file VALUES (?, ?, ?, ?, ?)",
            [(path, *signature, sha256)],
        )

    def speeds(self) -> dict[str, float]:
        """Measured tokens per second by the SHA-256 of a model's file, on this machine with this
        build of llama.cpp."""
        sql = "SELECT model, tokens_per_second FROM measured_speed WHERE machine = ?"
        return dict(self._rows(sql, (machine(),)))

    def put_speed(self, model: str, tokens_per_second: float) -> None:
        """Store the measured speed of a model file, by its SHA-256."""
        self._write(
            "INSERT OR REPLACE INTO measured_speed VALUES (?, ?, ?)",
            [(machine(), model, tokens_per_second)],
        )

    def reading_rate(self, model: str) -> tuple[float, float] | None:
        """(bytes of candidates per second, seconds to load) measured of a reranker on this machine;
        None when it was not. model: its identity."""
        sql = (
            "SELECT bytes_per_second, load_seconds FROM measured_rate "
            "WHERE (machine, model) = (?, ?)"
        )
        rows = self._rows(sql, (machine(), model))
        if not rows or not all(isinstance(n, float) and math.isfinite(n) for n in rows[0]):
            return None
        rate, load = rows[0]
        return (rate, max(load, 0.0)) if rate > 0 else None

    def put_reading_rate(self, model: str, bytes_per_second: float, load_seconds: float) -> None:
        """Store the measured speed of a reranker; model: its identity."""
        self._write(
            "INSERT OR REPLACE INTO measured_rate VALUES (?, ?, ?, ?)",
            [(machine(), model, bytes_per_second, load_seconds)],
        )

    def _rows(self, sql: str, arguments: Sequence[object] = ()) -> list[Any]:
        address = f"{self.path.absolute().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(address, timeout=BUSY_SECONDS, uri=True)) as db:
                return db.execute(sql, arguments).fetchall()
        except (sqlite3.Error, OSError):
            return []

    def _write(self, sql: str, rows: Sequence[Sequence[object]], after: str = "") -> None:
        if not rows:
            return
        try:
            self._try_write(sql, rows, after)
        except sqlite3.OperationalError:  # busy, read-only, full
            return
        except (sqlite3.DatabaseError, OSError):  # damaged: start anew
            with suppress(OSError, sqlite3.Error):
                self.path.unlink(missing_ok=True)
                self._try_write(sql, rows, after)

    def _try_write(self, sql: str, rows: Sequence[Sequence[object]], after: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)) as db:
            db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; {_TABLES}")
            db.execute("BEGIN IMMEDIATE")
            db.executemany(sql, rows)
            if after:
                db.execute(after)
            db.execute("COMMIT")
