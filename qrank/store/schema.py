"""Tables of the index file, their version, and the steps from one version to the next.

file     one row a document: where it lies, how it looked when it was read
chunk    its passages, with their place in the file
terms    FTS5 over the analysed terms of each chunk (rowid = chunk.id)
passage  what a model is given of a chunk, known by its hash: equal passages share one row,
         so that a moved, copied or half-changed file keeps its vectors
model    the embedding models whose vectors the file holds, known by their files' hash
model_file  hashes of model files by path, size and time, so that a search need not hash them
cache    answers of models to what they were asked before: it saves time and holds nothing else
vector   one row a passage and model: the exact vector (float16), and the segment it is in
segment  up to SEGMENT_SIZE vectors as int8 codes, laid out for a scan
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

APPLICATION_ID = 0x71726E6B  # "qrnk"
SEGMENT_SIZE = 4096  # vectors in a row of `segment`

# Terms are separated by blanks; everything else that the analyser lets through is a token char.
_TERMS = """
CREATE VIRTUAL TABLE terms USING fts5(
    body, title, collection, tokenize = "ascii tokenchars '_+#'''"
)
"""


def version(connection: sqlite3.Connection) -> int:
    """The version of the tables in a file of ours, 0 when it is empty."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring the tables to VERSION, from whatever version they are of, each step a transaction.

    Several processes may do so at once: each step is done by one of them.
    """
    run = connection.execute
    run("PRAGMA foreign_keys = OFF")  # steps may put a table in another's place
    while (held := version(connection)) < VERSION:
        run("BEGIN IMMEDIATE")
        try:
            if version(connection) == held:
                STEPS[held](connection)
                run(f"PRAGMA application_id = {APPLICATION_ID}")
                run(f"PRAGMA user_version = {held + 1}")
            run("COMMIT")
        except BaseException:
            if connection.in_transaction:
                run("ROLLBACK")
            raise


def _tables(connection: sqlite3.Connection) -> None:
    """0 -> 1: the first tables."""
    import sqlite_utils

    db = sqlite_utils.Database(connection)
    make: Any = db.create_table
    make(
        "file",
        {
            "id": int,
            "collection": str,
            "path": str,
            "size": int,
            "mtime_ns": int,
            "hash": bytes,
            "title": str,
            "extractor": str,
        },
        pk="id",
        not_null={"collection", "path", "size", "mtime_ns", "hash", "title", "extractor"},
    )
    db["file"].create_index(["collection", "path"], unique=True)  # type: ignore[union-attr]
    make("passage", {"id": int, "hash": bytes}, pk="id", not_null={"hash"})
    db["passage"].create_index(["hash"], unique=True)  # type: ignore[union-attr]
    # Plain SQL where AUTOINCREMENT matters: an id that was shown must never mean another chunk.
    connection.execute(
        """CREATE TABLE chunk (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            file_id INTEGER NOT NULL REFERENCES file(id) ON DELETE CASCADE,
            passage_id INTEGER NOT NULL REFERENCES passage(id),
            start_byte INTEGER NOT NULL, end_byte INTEGER NOT NULL,
            start_line INTEGER NOT NULL, end_line INTEGER NOT NULL,
            page INTEGER, heading TEXT NOT NULL, text TEXT NOT NULL
        )"""
    )
    db["chunk"].create_index(["file_id"])  # type: ignore[union-attr]
    db["chunk"].create_index(["passage_id"])  # type: ignore[union-attr]
    connection.execute(_TERMS)
    make(
        "model",
        {
            "id": int,
            "name": str,
            "sha256": str,
            "dims": int,
            "prompt_version": int,
        },
        pk="id",
        not_null={"name", "sha256", "dims", "prompt_version"},
    )
    db["model"].create_index(["sha256", "prompt_version"], unique=True)  # type: ignore[union-attr]
    make(
        "model_file",
        {"path": str, "size": int, "mtime_ns": int, "sha256": str},
        pk="path",
        not_null={"size", "mtime_ns", "sha256"},
    )
    make("cache", {"id": int, "key": bytes, "value": bytes}, pk="id", not_null={"key", "value"})
    db["cache"].create_index(["key"], unique=True)  # type: ignore[union-attr]
    make(
        "segment",
        {"id": int, "model_id": int, "passages": bytes, "scales": bytes, "codes": bytes},
        pk="id",
        not_null={"model_id", "passages", "scales", "codes"},
        foreign_keys=[("model_id", "model", "id")],
    )
    make(
        "vector",
        {"model_id": int, "passage_id": int, "segment_id": int, "exact": bytes},
        pk=("model_id", "passage_id"),
        not_null={"segment_id", "exact"},
        foreign_keys=[
            ("model_id", "model", "id"),
            ("passage_id", "passage", "id"),
            ("segment_id", "segment", "id"),
        ],
    )


def _compact(connection: sqlite3.Connection) -> None:
    """1 -> 2: what a million passages need (being worked on; not released)."""


# What turns version i into version i + 1. A step that was released is never changed: a later one
# changes what it made, and tests/indexes/ keeps a file of each version to open.
STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_tables, _compact)
VERSION = len(STEPS)
