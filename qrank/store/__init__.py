"""The index, whatever holds it. `interface.py` says what is asked of a store, `open_store` makes
one. The one place that knows SQL; knows neither files' formats nor models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qrank.store.interface import Store

__all__ = ["open_store"]


def open_store(where: Path, *, write: bool = False) -> Store:
    """Open the index at where; with write, make it when it is missing. The one place that says
    what kind of store an index is kept in.

    Raises IndexFileError.
    """
    from qrank.store.sqlite_store import SQLiteStore

    return SQLiteStore(where, write=write)
