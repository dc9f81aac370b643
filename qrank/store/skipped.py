"""Files that were skipped, and why: not read again until they or their extractor change."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from qrank.errors import Problem
from qrank.results import Signature
from qrank.store import decode, documents
from qrank.store.interface import SkippedFile
from qrank.store.locations import by_path


def of_collection(
    connection: sqlite3.Connection, collection: str, paths: Sequence[str] | None
) -> Iterator[SkippedFile]:
    """The skipped files of a collection (of paths, those that were skipped), page by page."""
    names = "path, extractor, kind, reason, size, mtime_ns, ctime_ns"
    kinds = (str, str, str, str, int, int, int)
    for row in by_path(connection, f"SELECT {names} FROM left_out", collection, paths):
        path, extractor, kind, reason, *signature = decode.row(row, kinds, "a skipped file")
        yield SkippedFile(path, Signature(*signature), extractor, Problem(kind, reason))


def add(connection: sqlite3.Connection, collection: str, file: SkippedFile) -> None:
    """Store that a file was skipped, and remove the document of that path. Writes."""
    sql = "SELECT id FROM file WHERE collection = ? AND path = ? AND member = ''"
    old = decode.rows(connection.execute(sql, (collection, file.path)), (int,), "a file")
    documents.remove(connection, [row[0] for row in old])
    connection.execute(
        "INSERT OR REPLACE INTO left_out (collection, path, size, mtime_ns, ctime_ns, "
        "extractor, kind, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            collection,
            file.path,
            *file.signature,
            file.extractor,
            file.problem.kind,
            file.problem.reason,
        ),
    )


def remove(connection: sqlite3.Connection, collection: str, paths: Iterable[str]) -> None:
    """Delete the entries of skipped files. Writes."""
    connection.executemany(
        "DELETE FROM left_out WHERE collection = ? AND path = ?",
        [(collection, path) for path in paths],
    )
