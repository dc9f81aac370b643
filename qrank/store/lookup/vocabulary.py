"""The vocabulary of an open index file, as `interface.py` says."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from qrank.store.connection import translate_sqlite_errors
from qrank.store.lookup import words


class Vocabulary:
    """The words of an index. Every method may raise IndexFileError."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def near(self, word: str, max_edits: int) -> list[tuple[int, str]]:
        """See `words.near`."""
        with translate_sqlite_errors(self._path):
            return words.near(self._connection, word, max_edits)

    def intersection(self, lowercase_words: Iterable[str]) -> set[str]:
        """Those of some words, in lower case, that are in the vocabulary."""
        with translate_sqlite_errors(self._path):
            return words.intersection(self._connection, lowercase_words)

    def with_prefix(self, prefix: str, limit: int) -> list[str]:
        """See `words.with_prefix`."""
        with translate_sqlite_errors(self._path):
            return words.with_prefix(self._connection, prefix, limit)
