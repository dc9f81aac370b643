"""Removing documents from the index, whether or not their files still exist."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from qrank.errors import InputError
from qrank.indexing import roots
from qrank.indexing.update import require_known
from qrank.names import composed, folder_key, named_path, over, spellings
from qrank.store.interface import CollectionSettings, Store, StoredFile

GROUP_FILES = 64  # of one transaction


def remove_paths(store: Store, paths: Sequence[Path], collections: Sequence[str] = ()) -> int:
    """Remove the documents at and below paths, from collections (all when empty); without paths,
    whole collections. Returns how many files were removed.

    Raises InputError for a path without documents, and for an unknown collection.
    """
    require_known(store, collections)
    all_names = [collection["name"] for collection in store.status()["collections"]]

    def files() -> Iterator[StoredFile]:
        return chain.from_iterable(store.files(name) for name in collections or all_names)

    if not paths:
        file_ids = {file.id for file in files()}
    else:
        file_ids = _ids_of(files, [str(path) for path in paths])
    ids = sorted(file_ids)
    for at in range(0, len(ids), GROUP_FILES):
        with store.transaction():
            store.remove_documents(ids[at : at + GROUP_FILES])
            store.remove_orphans()
    with store.transaction():
        names = [name for path in paths for name in spellings(str(path))]
        roots.forget(store, names, collections)
        for name in () if paths else collections:
            store.set_collection(name, CollectionSettings())
    return len(ids)


def _ids_of(files: Callable[[], Iterable[StoredFile]], paths: Sequence[str]) -> set[int]:
    """The ids of files at or below paths. Raises InputError for a path that has none."""
    ids: set[int] = set()
    by_key = {folder_key(name): path for path in paths for name in spellings(path)}
    # Compare paths as typed, then ignoring differences of Unicode normalisation.
    for form in (str, composed):
        keys = {form(key): path for key, path in by_key.items()}
        matching: set[str] = set()
        for file in files():
            above = [keys[key] for key in over(form(file.path), keys.keys())]
            matching.update(above)
            if above:
                ids.add(file.id)
        by_key = {key: path for key, path in by_key.items() if path not in matching}
        if not by_key:
            return ids
    path = next(iter(by_key.values()))
    raise InputError(
        f"the index has nothing under {named_path(path)}", hint="qrank search -l shows paths"
    )
