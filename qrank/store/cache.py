"""The cache, one SQLite file of this machine for all indexes; losing it costs only time. It holds
earlier answers of models, hashes of model files, and how fast those run.

It never fails: what can't be read is as good as not there, what can't be written is not kept.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from qrank.results import Signature

MOST_ANSWERS = 20_000  # 1 MB of scores; 80 MB if all were query vectors of 1024 dims
KEYS_AT_ONCE = 500
BUSY_SECONDS = 0.2  # how long a search waits to keep what only saves time

_TABLES = """
CREATE TABLE IF NOT EXISTS answer (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS model_file (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS speed (path TEXT PRIMARY KEY, tokens_per_second REAL NOT NULL);
CREATE TABLE IF NOT EXISTS reading_rate (
    model TEXT PRIMARY KEY, bytes_per_second REAL NOT NULL, load_seconds REAL NOT NULL
);
"""


class Cache:
    """The cache in the file at path, by default in the user's cache folder. Threads may share it:
    each call opens the file again, which takes a fifth of a millisecond."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    @property
    def path(self) -> Path:
        """Where it is, whether or not it exists."""
        if self._path is None:
            from platformdirs import user_cache_path

            self._path = user_cache_path("qrank", appauthor=False) / "cache.db"
        return self._path

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values that were put under keys, as far as there are any."""
        values: dict[bytes, bytes] = {}
        for at in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[at : at + KEYS_AT_ONCE]
            marks = ", ".join("?" * len(some))
            rows = self._rows(f"SELECT key, value FROM answer WHERE key IN ({marks})", some)
            values.update((key, value) for key, value in rows if isinstance(value, bytes))
        return values

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Keep values under their keys; beyond MOST_ANSWERS the oldest go."""
        self._write(
            "INSERT OR REPLACE INTO answer (key, value) VALUES (?, ?)",
            list(values.items()),
            f"DELETE FROM answer WHERE id <= (SELECT max(id) FROM answer) - {MOST_ANSWERS}",
        )

    def count(self) -> int:
        """How many answers are kept."""
        rows = self._rows("SELECT count(*) FROM answer")
        return rows[0][0] if rows else 0

    def clear(self) -> None:
        """Forget all answers."""
        self._write("DELETE FROM answer", [()])

    def model_hash(self, path: str, signature: Signature) -> str | None:
        """The SHA-256 of a model file that looked the same when it was last hashed."""
        sql = "SELECT sha256 FROM model_file WHERE (path, size, mtime_ns, ctime_ns) = (?, ?, ?, ?)"
        rows = self._rows(sql, (path, *signature))
        return rows[0][0] if rows else None

    def put_model_hash(self, path: str, signature: Signature, sha256: str) -> None:
        """Keep a model file's SHA-256."""
        self._write(
            "INSERT OR REPLACE INTO model_file VALUES (?, ?, ?, ?, ?)",
            [(path, *signature, sha256)],
        )

    def speeds(self) -> dict[str, float]:
        """Tokens a second of model files by path, as far as they were measured here."""
        return dict(self._rows("SELECT path, tokens_per_second FROM speed"))

    def put_speed(self, path: str, tokens_per_second: float) -> None:
        """Keep how fast a model file runs here."""
        self._write("INSERT OR REPLACE INTO speed VALUES (?, ?)", [(path, tokens_per_second)])

    def reading_rate(self, model: str) -> tuple[float, float] | None:
        """(bytes of candidates a second, seconds to load) of a reranker, where it has run here."""
        sql = "SELECT bytes_per_second, load_seconds FROM reading_rate WHERE model = ?"
        rows = self._rows(sql, (model,))
        if not rows or not all(isinstance(n, float) and math.isfinite(n) for n in rows[0]):
            return None
        rate, load = rows[0]
        return (rate, max(load, 0.0)) if rate > 0 else None

    def put_reading_rate(self, model: str, bytes_per_second: float, load_seconds: float) -> None:
        """Keep how fast a reranker, by its identity, reads candidates here."""
        self._write(
            "INSERT OR REPLACE INTO reading_rate VALUES (?, ?, ?)",
            [(model, bytes_per_second, load_seconds)],
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
            self._written(sql, rows, after)
        except sqlite3.OperationalError:  # busy, read-only, full
            return
        except (sqlite3.DatabaseError, OSError):  # damaged: it holds nothing that would be missed
            with suppress(OSError, sqlite3.Error):
                self.path.unlink(missing_ok=True)
                self._written(sql, rows, after)

    def _written(self, sql: str, rows: Sequence[Sequence[object]], after: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)) as db:
            db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; {_TABLES}")
            db.execute("BEGIN IMMEDIATE")
            db.executemany(sql, rows)
            if after:
                db.execute(after)
            db.execute("COMMIT")
