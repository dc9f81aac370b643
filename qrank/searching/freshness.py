"""Whether results are still what their files say, and what becomes of those that are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

from qrank.errors import IndexFileError, NoTextError
from qrank.names import disk_path
from qrank.results import Signature, Stale, StoredChunk

T = TypeVar("T")


def is_stale(stored: StoredChunk) -> bool:
    """Whether the file is gone, or its content is another than what was indexed.

    Size and times tell in most cases; only when a time alone is another (a touch, a checkout, a
    copy) is the content read.
    """
    try:
        now = Signature.of(Path(disk_path(stored.path)).stat())
    except OSError:
        return True
    if now.size != stored.signature.size:
        return True
    return not now.matches(stored.signature) and _hash(stored.path, now) != stored.hash


@lru_cache(maxsize=4096)
def _hash(path: str, _signature: Signature) -> bytes | None:
    """A content's hash, read once as long as the file looks the same; None if it can't be."""
    from qrank.ingest.content import file_hash, open_regular

    try:
        with open_regular(path) as file:
            return file_hash(file)
    except (OSError, NoTextError):
        return None


def limited(
    items: Iterable[T],
    limit: int,
    stale: Stale,
    is_stale: Callable[[T], bool],
    path: Callable[[T], str],
) -> list[T]:
    """The first limit of items, without stale ones where they are to be dropped.

    Raises IndexFileError when one of them is stale and that is to fail.
    """
    if stale is Stale.drop:
        return list(islice((item for item in items if not is_stale(item)), limit))
    first = list(islice(items, limit))
    if stale is Stale.fail:
        for item in first:
            if is_stale(item):
                raise IndexFileError(
                    f"{path(item)} has changed since it was indexed",
                    hint="run qrank index again, or say --stale warn",
                )
    return first
