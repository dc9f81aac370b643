"""Stores of the index: `interface.py` defines what a store does, `open_store` opens one. The only
package with SQL; it knows neither file formats nor models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qrank.errors import InputError
from qrank.urls import IndexPlace

if TYPE_CHECKING:
    from qrank.store.interface import Store

__all__ = ["Layout", "create_store", "open_store"]


class Layout(NamedTuple):
    """The numbers of shards and replicas of a new index in a search engine; None: the default,
    one."""

    shards: int | None = None
    replicas: int | None = None


def open_store(where: IndexPlace, *, write: bool = False) -> Store:
    """Open the index at where: a path is an index file, else the URL of an engine's index. write:
    for writing, creating it when it is missing. The only place that chooses the kind of store.

    Raises IndexFileError.
    """
    if isinstance(where, Path):
        from qrank.store.sqlite_store import SQLiteStore

        return SQLiteStore(where, write=write)
    from qrank.store.opensearch.store import OpenSearchStore

    return OpenSearchStore(where, write=write)


def create_store(where: IndexPlace, layout: Layout) -> bool:
    """Create an empty index at where unless it exists; returns whether it was created.

    Raises IndexFileError, and InputError for a layout of an index file.
    """
    if isinstance(where, Path):
        if layout != Layout():
            raise InputError(
                "an index file has no shards or replicas", hint="name an engine's index with --db"
            )
        is_new = not where.exists()
        open_store(where, write=True).close()
        return is_new
    from qrank.store.opensearch.store import create

    return create(where, layout)
