"""Small indexes, and what somebody may have made of them: every column with hostile values."""

from __future__ import annotations

import random
import shutil
import sqlite3
import zlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from forked import forked

QUERY = "water steep tea"


def _bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(bytes(300 << 20)) + packer.flush()


VALUES: dict[str, object] = {
    "null": None,
    "zero": 0,
    "minus": -1,
    "huge": 2**63 - 1,
    "least": -(2**63),
    "billion": 10**9,
    "real": float(2**70),
    "half": 0.5,
    "infinite": float("inf"),
    "text": "not at all",
    "empty": "",
    "json": "[" * 100_000,
    "deep": '{"a":' * 900 + "1" + "}" * 900,
    "nan": '{"a": NaN, "b": 1e999}',
    "control": "\x1b]0;x\x07\n/a\x00b\r",
    "relative": "../../../../../../etc/passwd",
    "long": "x" * (3 << 20),
    "blob": b"\xff\x00abc",
    "no bytes": b"",
    "ones": b"\xff" * 64,
    "nans": b"\x00\x00\xc0\x7f" * 64,
    "bomb": _bomb(),
}

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("search", QUERY, "--mode", "bm25", "--json"),
    ("search", QUERY, "--mode", "vector", "--json"),
    ("search", QUERY, "--candidates", "2"),
    ("search", QUERY, "--collection", "notes", "--path", "*.md", "--explain", "--no-rerank"),
    ("similar", "notes/a.md", "--json"),
    ("similar", "notes/a.md:1", "--mode", "bm25"),
    ("get", "notes/a.md:1-5"),
    ("status", "--json"),
    ("doctor", "--index", "--json"),
    ("export",),
    ("index", "notes", "--collection", "notes", "--no-embed"),
    ("remove", "notes/b.md"),
    ("vacuum",),
)


def make(folder: Path, environment: Mapping[str, str]) -> Path:
    """An index of two collections, with all that its commands would ask models for in its cache;
    afterwards a file is changed and one is new, for `index` to do something."""
    notes = folder / "notes"
    notes.mkdir()
    for name, title in (("a", "Tea"), ("b", "Tides"), ("c", "Owls")):
        body = "\n\n".join(f"## {title} {i}\n\nSteep {title} in water {i} times." for i in range(9))
        (notes / f"{name}.md").write_text(
            f"---\ntitle: {title}\ntags: [x]\n---\n# {title}\n\n{body}\n", "utf-8"
        )
    (notes / "empty.bin").write_bytes(b"\0\1")
    (notes / "d.bin").write_bytes(b"\0\1")
    for words in (
        ("index", "notes", "--collection", "notes"),
        ("index", "notes/a.md", "--collection", "other"),
        ("search", QUERY),
        ("search", QUERY, "--mode", "vector"),
    ):
        run = forked(folder, environment, *words, "--db", "index.db")
        assert run.returncode == 0, run
    (notes / "b.md").write_text("# Tides\n\nChanged meanwhile.\n", "utf-8")
    (notes / "new.md").write_text("# New\n\nNot seen before.\n", "utf-8")
    with closing(sqlite3.connect(folder / "index.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    return folder / "index.db"


def columns(index: Path) -> list[tuple[str, str]]:
    """Every (table, column) there is, FTS5's own tables included."""
    with closing(sqlite3.connect(index)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'"
        ).fetchall()
        return [
            (table, row[1])
            for (table,) in tables
            for row in connection.execute(f"PRAGMA table_info({table})").fetchall()
        ]


def put(index: Path, table: str, column: str, value: object, *, one: bool = False) -> bool:
    """Put a value into a column, of all rows or of the first; whether SQLite let it in."""
    with closing(sqlite3.connect(index, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(  # NULL goes everywhere, and nothing has to be unique
            "UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') "
            "WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%' AND sql NOT LIKE '%WITHOUT ROWID%'"
        )
        connection.execute("DELETE FROM sqlite_master WHERE sql LIKE 'CREATE UNIQUE INDEX%'")
        connection.execute("PRAGMA writable_schema = RESET")
    with closing(sqlite3.connect(index, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        first = f" WHERE {column} = (SELECT {column} FROM {table} LIMIT 1)" if one else ""
        try:
            done = connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ?{first}", (value,))
        except sqlite3.Error:
            return False
        return done.rowcount > 0


def flipped(data: bytes, chance: random.Random) -> bytes:
    """A copy with some bytes changed: anywhere, or in a row."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 4, 64))):
        at = chance.randrange(16 if chance.random() < 0.9 else 0, len(made))
        if chance.random() < 0.5:
            made[at] ^= 1 << chance.randrange(8)
        else:
            made[at : at + chance.randint(1, 32)] = chance.randbytes(chance.randint(1, 32))
    return bytes(made[: len(data)])


def copied(pristine: Path, to: Path) -> Path:
    """A fresh copy of an index, without what SQLite left beside the last one."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{to}{suffix}").unlink(missing_ok=True)
    shutil.copyfile(pristine, to)
    return to
