"""The index, whatever holds it. `interface.py` says what is asked of a store, `open_store` makes
one. The one place that knows SQL; knows neither files' formats nor models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qrank.errors import InputError
from qrank.urls import IndexPlace

if TYPE_CHECKING:
    from qrank.store.interface import Store

__all__ = ["Layout", "create_store", "open_store"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a search engine is to spread a new index: into so many shards, with so many copies of
    each beside the first. None: as it is by default, one of each."""

    shards: int | None = None
    replicas: int | None = None


def open_store(where: IndexPlace, *, write: bool = False) -> Store:
    """Open the index at where; with write, make it when it is missing. The one place that says
    what kind of store an index is kept in.

    Raises IndexFileError.
    """
    if isinstance(where, Path):
        from qrank.store.sqlite_store import SQLiteStore

        return SQLiteStore(where, write=write)
    from qrank.store.opensearch.store import OpenSearchStore

    return OpenSearchStore(where, write=write)


def create_store(where: IndexPlace, layout: Layout) -> bool:
    """Make the index at where, empty, unless it is there; returns whether it was made.

    Raises IndexFileError, and InputError for a layout of a file.
    """
    if isinstance(where, Path):
        if layout != Layout():
            raise InputError(
                "an index file has no shards or replicas", hint="name an engine's index with --db"
            )
        made = not where.exists()
        open_store(where, write=True).close()
        return made
    from qrank.store.opensearch.store import create

    return create(where, layout)
