"""Watching files for changes, for `qrank index --watch`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from qrank.errors import InputError
from qrank.files import reason
from qrank.indexing.index import existing
from qrank.ingest.ignore import IGNORE_FILES
from qrank.ingest.walk import Within
from qrank.names import absolute, shown_path
from qrank.settings import Walking
from qrank.urls import IndexPlace

SETTLE_MS = 400  # changes that are closer together are reported as one
LONGEST_MS = 5_000  # after which a change is reported, even when others follow


def changes(paths: Sequence[Path], walking: Walking, but: IndexPlace | None) -> Iterator[None]:
    """Start watching, and return an iterator that yields after each change of something that a walk
    of paths would read, also for changes since this call.

    but: an index, whose file is not watched. Ends when the process is interrupted. Raises
    InputError for a path that does not exist, or when the system's limit of watches is reached.
    """
    from watchfiles import Change, watch

    roots = existing(paths, walking)
    within = Within(roots, walking)
    own = absolute(str(but)) if isinstance(but, Path) else None

    def matters(_: Change, path: str) -> bool:
        if own and path.startswith(own):
            return False
        name = os.path.basename(path)  # noqa: PTH119
        if name in IGNORE_FILES:
            return True
        hidden = not walking.hidden and any(
            part.startswith(".") for part in _below(roots, path).split("/")
        )
        return not hidden and within(shown_path(path))

    events = watch(
        *roots,
        watch_filter=matters,
        step=SETTLE_MS,
        debounce=LONGEST_MS,
        rust_timeout=1,  # ms; with yield_on_timeout, it yields after each step
        yield_on_timeout=True,
        ignore_permission_denied=True,  # as the walk does
    )
    try:
        first = next(events)  # watching starts with the first call
    except (OSError, RuntimeError) as error:  # RuntimeError: raised by watchfiles
        text = reason(error) if isinstance(error, OSError) else str(error)
        raise InputError(
            f"can't watch for changes: {text}", hint="run qrank index regularly instead"
        ) from error
    return (None for changed in chain([first], events) if changed)


def _below(roots: Sequence[Path], path: str) -> str:
    """A path relative to the root that it is below; "" when there is none."""
    for root in roots:
        prefix = str(root).rstrip("/") + "/"
        if path.startswith(prefix):
            return path[len(prefix) :]
    return ""
