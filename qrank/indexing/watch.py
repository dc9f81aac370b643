"""Watching files for changes, to keep an index up to date."""

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

SETTLE_MS = 400  # changes that come so close together are one
LONGEST_MS = 5_000  # that a change waits for others


def changes(paths: Sequence[Path], walking: Walking, but: IndexPlace | None) -> Iterator[None]:
    """Watch from this call on; what is returned yields each time that something which a walk of
    paths would look at has changed, also before it is asked.

    but: an index file, whose own changes are none. Ends when the process is interrupted. Raises
    InputError for a path that does not exist, or where the system has no room for more watches.
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
        rust_timeout=1,  # that is, after each step
        yield_on_timeout=True,
        ignore_permission_denied=True,  # as the walk does
    )
    try:
        first = next(events)  # it begins to watch when it is first asked
    except (OSError, RuntimeError) as error:  # RuntimeError: watchfiles' own
        text = reason(error) if isinstance(error, OSError) else str(error)
        raise InputError(
            f"can't watch for changes: {text}", hint="run qrank index regularly instead"
        ) from error
    return (None for changed in chain([first], events) if changed)


def _below(roots: Sequence[Path], path: str) -> str:
    """A path as seen from the root it lies under."""
    for root in roots:
        prefix = str(root).rstrip("/") + "/"
        if path.startswith(prefix):
            return path[len(prefix) :]
    return ""
