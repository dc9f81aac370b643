"""The SQLite store's file: other programs' files, and damaged ones."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from test_store import add

from qrank.errors import IndexFileError
from qrank.store import open_store, schema
from qrank.store.filters import EVERYTHING


def test_the_wrong_files_are_refused_in_a_sentence(tmp_path: Path) -> None:
    text, other, newer = (tmp_path / name for name in ("text.db", "other.db", "newer.db"))
    text.write_text("no database at all, but long enough to look like one " * 20)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (a)")
    open_store(newer, write=True).close()
    with sqlite3.connect(newer) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    for path, reason in (
        (text, "not an index"),
        (other, "another program"),
        (newer, "newer qrank"),
    ):
        before = path.read_bytes()
        for write in (False, True):
            with pytest.raises(IndexFileError, match=reason):
                open_store(path, write=write)
        assert path.read_bytes() == before
    with pytest.raises(IndexFileError, match="there is no index"):
        open_store(tmp_path / "missing.db")


def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with open_store(path, write=True) as store:
        add(store, "/a", [f"tea {i}" for i in range(500)])
    data = bytearray(path.read_bytes())
    data[16384:] = bytes(len(data) - 16384)
    path.write_bytes(data)
    with pytest.raises(IndexFileError, match="damaged"), open_store(path) as store:
        store.bm25(["tea"], 3, EVERYTHING)
        store.status()
