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

    def near(self, word: str, most: int) -> list[tuple[int, str]]:
        """See `words.near`."""
        with translate_sqlite_errors(self._path):
            return words.near(self._connection, word, most)

    def known(self, asked: Iterable[str]) -> set[str]:
        """Those of some words, in small letters, that are in the vocabulary."""
        with translate_sqlite_errors(self._path):
            return words.known(self._connection, asked)

    def beginning(self, start: str, most: int) -> list[str]:
        """The first most words, in order, that begin with start and are longer."""
        with translate_sqlite_errors(self._path):
            return words.beginning(self._connection, start, most)
