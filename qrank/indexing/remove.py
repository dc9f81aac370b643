"""Taking documents out of the index, whether or not their files are still there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qrank.errors import InputError
from qrank.names import folder_key, named_path, over
from qrank.store.interface import Store

GROUP_FILES = 64  # of one transaction


def remove_paths(store: Store, paths: Sequence[Path], collections: Sequence[str] = ()) -> int:
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
    roots = [named_path(str(path)) for path in paths]
    keys = {folder_key(root) for root in roots}
    found: dict[int, None] = {}
    met: set[str] = set()
    for name in collections or known:
        for file in store.files(name).values():
            under = list(over(file.path, keys))
            met.update(under)
            if under or not roots:
                found[file.id] = None
    for root in roots:
        if folder_key(root) not in met:
            raise InputError(
                f"the index has nothing under {root}", hint="qrank search -l shows paths"
            )
    ids = list(found)
    for at in range(0, len(ids), GROUP_FILES):
        with store.transaction():
            store.remove_documents(ids[at : at + GROUP_FILES])
            store.remove_orphans()
    return len(ids)
