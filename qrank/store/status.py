"""Counts of an index file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from qrank.reports import IndexedFile
from qrank.results import Signature
from qrank.store import conditions, decode
from qrank.store.filters import Filter


def _size(path: Path) -> int:
    """Bytes of the index on disk, with its write-ahead log."""
    parts = (path, Path(f"{path}-wal"))
    return sum(part.stat().st_size for part in parts if part.exists())


def status(connection: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """Counts of the index at path, in the form of `qrank status --json`."""
    run = connection.execute
    counts = run(
        "SELECT (SELECT count(*) FROM file WHERE member = ''), (SELECT count(*) FROM chunk), "
        "(SELECT count(*) FROM passage)"
    ).fetchone()
    rows = run("SELECT model_id, count(*), sum(cut) FROM vector GROUP BY model_id")
    vectors = {
        model: (count, truncated)
        for model, count, truncated in decode.rows(rows, (int, int, int), "a vector")
    }
    return {
        "schema": 1,
        "db": str(path),
        "files": counts[0],
        "chunks": counts[1],
        "unique_texts": counts[2],  # chunks with equal texts are embedded once
        "bytes": _size(path),
        "collections": [
            {"name": name, "files": files}
            for name, files in decode.rows(
                run(
                    "SELECT collection, count(*) FROM file WHERE member = '' "
                    "GROUP BY collection ORDER BY collection"
                ),
                (str, int),
                "a file",
            )
        ],
        "models": [
            {"name": name, "sha256": sha256, "dims": dims}
            | dict(zip(("vectors", "truncated"), vectors.get(model, (0, 0)), strict=True))
            for model, name, sha256, dims in decode.rows(
                run("SELECT id, name, sha256, dims FROM model ORDER BY id"),
                (int, str, str, int),
                "a model",
            )
        ],
    }


def indexed_files(connection: sqlite3.Connection, path: str) -> Iterator[IndexedFile]:
    """Yield the files at and below a path, ordered by path and collection. Chunks and vectors of
    members count to their file."""
    condition, values = conditions.of_file(Filter(names=(path,)))
    rows = connection.execute(
        "SELECT path, collection, member, size, mtime_ns, ctime_ns, hash, title, indexed_ns, note, "
        "(SELECT count(*) FROM chunk WHERE file_id = file.id), "
        "(SELECT count(*) FROM chunk JOIN vector USING (passage_id) WHERE file_id = file.id "
        "AND model_id = (SELECT min(id) FROM model)) "
        f"FROM file WHERE {condition} ORDER BY path, collection, member",
        values,
    )
    kinds = (str, str, str, int, int, int, bytes, str, int, str, int, int)
    file: IndexedFile | None = None
    for (
        place,
        collection,
        member,
        *signature,
        content,
        title,
        at,
        note,
        chunks,
        vectors,
    ) in decode.rows(rows, kinds, "a file"):
        if member and file and (file.path, file.collection) == (place, collection):
            chunks, vectors = chunks + file.chunks, vectors + file.vectors
            file = replace(file, chunks=chunks, vectors=vectors)
            continue
        if file:
            yield file
        head = (place, collection, Signature(*signature), content, title, at, note)
        file = IndexedFile(*head, chunks, vectors)
    if file:
        yield file
