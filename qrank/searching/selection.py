"""Options that limit and sort results; whether results still match their files (--stale)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from qrank.arguments import require_count
from qrank.errors import IndexFileError
from qrank.results import Result, Sort, Stale, StoredChunk

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Options that are applied to ranked results."""

    limit: int = 10
    offset: int = 0  # how many of the best results are skipped
    per_file: int | None = None  # at most so many results of one file
    stale: Stale = Stale.warn
    sort: Sort | None = None  # order of the results; None: best first
    copies: bool = True  # whether near-duplicates of a result are results of their own

    def __post_init__(self) -> None:
        """Raises ValueError for a number out of range."""
        require_count("limit", self.limit)
        require_count("offset", self.offset, least=0)
        require_count("per_file", self.per_file, optional=True)


def capped(items: Iterable[T], most: int, key: Callable[[T], str]) -> list[T]:
    """The first `most` items with each key, in their order.

    >>> capped(["a1", "a2", "b1", "a3"], 2, lambda item: item[0])
    ['a1', 'a2', 'b1']
    """
    seen: Counter[str] = Counter()
    first: list[T] = []
    for item in items:
        seen[key(item)] += 1
        if seen[key(item)] <= most:
            first.append(item)
    return first


def in_sort(results: list[Result], sort: Sort | None) -> list[Result]:
    """Sort results: newest first, or by path; None: leave them as they are."""
    if sort is None:
        return results
    by_path = sorted(results, key=lambda result: (result.location, result.start_byte))
    if sort is Sort.date:
        by_path.sort(key=lambda result: -result.date_ns)
    return by_path


def is_stale(stored: StoredChunk) -> bool | None:
    """Whether the file is gone, or its content has changed since indexing. None when its folder is
    not on this machine."""
    from qrank.ingest.content import has_changed

    return has_changed(stored.path, stored.signature, stored.hash, stored.root)


def limited(
    items: Iterable[T],
    limit: int,
    stale: Stale,
    is_stale: Callable[[T], bool | None],
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
