"""Files that were left out, and why: not read again until they, or their readers, change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple

from qrank.store.interface import LeftOut
from qrank.store.saved import Saved


class LeftOutFiles(Saved):
    """The part of a store that knows what is not in it."""

    def left_out(self, collection: str) -> dict[str, LeftOut]:
        """The files of a collection that were left out, by path."""
        rows = self._rows(
            "SELECT path, size, mtime_ns, extractor, kind, reason FROM left_out "
            "WHERE collection = ?",
            (collection,),
            (str, int, int, str, str, str),
            "a file that was left out",
        )
        return {row[0]: LeftOut(*row) for row in rows}

    def leave_out(self, collection: str, file: LeftOut) -> None:
        """Note that a file was left out; what was there under the same path goes."""
        sql = "SELECT id FROM file WHERE collection = ? AND path = ?"
        old = self._rows(sql, (collection, file.path), (int,), "a file")
        self.remove_documents([row[0] for row in old])
        self._connection.execute(
            "INSERT OR REPLACE INTO left_out VALUES (?, ?, ?, ?, ?, ?, ?)",
            (collection, *astuple(file)),
        )

    def forget_left_out(self, collection: str, paths: Iterable[str]) -> None:
        """Forget that files were left out."""
        self._connection.executemany(
            "DELETE FROM left_out WHERE collection = ? AND path = ?",
            [(collection, path) for path in paths],
        )

    def remove_documents(self, file_ids: Iterable[int]) -> None:
        """Take documents and their chunks out."""
        raise NotImplementedError
