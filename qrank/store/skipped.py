"""Files that were left out, and why: not read again until they, or their readers, change."""

from __future__ import annotations

from collections.abc import Iterable

from qrank.results import Signature
from qrank.store.interface import SkippedFile
from qrank.store.saved import Saved


class SkippedFiles(Saved):
    """The part of a store that knows what is not in it."""

    def left_out(self, collection: str) -> dict[str, SkippedFile]:
        """The files of a collection that were left out, by path."""
        rows = self._rows(
            "SELECT path, extractor, kind, reason, size, mtime_ns, ctime_ns FROM left_out "
            "WHERE collection = ?",
            (collection,),
            (str, str, str, str, int, int, int),
            "a file that was left out",
        )
        return {row[0]: SkippedFile(row[0], Signature(*row[4:]), *row[1:4]) for row in rows}

    def add_skipped(self, collection: str, file: SkippedFile) -> None:
        """Note that a file was left out; what was there under the same path goes."""
        sql = "SELECT id FROM file WHERE collection = ? AND path = ?"
        old = self._rows(sql, (collection, file.path), (int,), "a file")
        self.remove_documents([row[0] for row in old])
        self._connection.execute(
            "INSERT OR REPLACE INTO left_out (collection, path, size, mtime_ns, ctime_ns, "
            "extractor, kind, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (collection, file.path, *file.signature, file.extractor, file.kind, file.reason),
        )

    def remove_skipped(self, collection: str, paths: Iterable[str]) -> None:
        """Forget that files were left out."""
        self._connection.executemany(
            "DELETE FROM left_out WHERE collection = ? AND path = ?",
            [(collection, path) for path in paths],
        )

    def remove_documents(self, file_ids: Iterable[int]) -> None:
        """Take documents and their chunks out."""
        raise NotImplementedError
