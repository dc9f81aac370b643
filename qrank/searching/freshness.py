"""Whether results still match their files, and what to do with those that don't (--stale)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from qrank.errors import IndexFileError
from qrank.results import Stale, StoredChunk

T = TypeVar("T")


def is_stale(stored: StoredChunk) -> bool:
    """Whether the file is gone, or its content has changed since indexing."""
    from qrank.ingest.content import has_changed

    return has_changed(stored.path, stored.signature, stored.hash)


def limited(
    items: Iterable[T],
    limit: int,
    stale: Stale,
    is_stale: Callable[[T], bool],
    path: Callable[[T], str],
) -> list[T]:
    """The first `limit` items; Stale.drop skips stale ones.

    Raises IndexFileError when one of them is stale and stale is Stale.fail.
    """
    if stale is Stale.drop:
        return list(islice((item for item in items if not is_stale(item)), limit))
    first = list(islice(items, limit))
    if stale is Stale.fail:
        for item in first:
            if is_stale(item):
                raise IndexFileError(
                    f"{path(item)} has changed since it was indexed",
                    hint="run qrank index again, or use --stale warn",
                )
    return first
