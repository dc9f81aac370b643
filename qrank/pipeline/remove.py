"""Taking documents out of the index, whether or not their files are still there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from qrank.errors import InputError
from qrank.names import shown_path
from qrank.store.interface import StoreInterface

GROUP_FILES = 64  # of one transaction


def remove_paths(
    store: StoreInterface, paths: Sequence[Path], collections: Sequence[str] = ()
) -> int:
    """Take out what is at and below paths, of collections (all when empty); without paths, those
    collections whole. Returns how many files went.

    Raises InputError for a path or a collection that the index has nothing of.
    """
    known = [collection["name"] for collection in store.status()["collections"]]
    for name in collections:
        if name not in known:
            raise InputError(
                f"there is no collection {name}", hint=f"there are {', '.join(known) or 'none'}"
            )
    roots = [shown_path(os.path.abspath(path.expanduser())) for path in paths]  # noqa: PTH100
    found: dict[int, None] = {}
    met: set[str] = set()
    for name in collections or known:
        for file in store.files(name).values():
            under = [root for root in roots if _is_under(file.path, root)]
            met.update(under)
            if under or not roots:
                found[file.id] = None
    for root in roots:
        if root not in met:
            raise InputError(
                f"the index has nothing under {root}", hint="qrank search -l shows paths"
            )
    ids = list(found)
    for at in range(0, len(ids), GROUP_FILES):
        with store.transaction():
            store.remove_documents(ids[at : at + GROUP_FILES])
            store.remove_orphans()
    return len(ids)


def _is_under(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
