"""The part of the API that changes an index: adding, updating and removing documents."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING

from qrank.arguments import path_list, require_number, require_progress, require_type, text_list
from qrank.closing import Closing
from qrank.errors import IndexFileError, InputError, NoIndexError
from qrank.names import absolute
from qrank.settings import READ_ALL, WALK_ALL, Placement, Reading, Settings, Walking
from qrank.urls import IndexPlace

if TYPE_CHECKING:
    from qrank.indexing.update import Collected
    from qrank.inference.index_model import IndexModel
    from qrank.inference.loading import Embedder
    from qrank.models.registry import Registry
    from qrank.progress import Progress
    from qrank.reports import IndexReport
    from qrank.store.cache import Cache
    from qrank.store.interface import Store

DEFAULT_COLLECTION = "default"


class Filling(Closing):
    """The methods of an index that change it; the attributes are set by its subclass, the API."""

    path: IndexPlace
    _settings: Settings
    _cache: Cache
    _embed_name: str
    _embed_typed: bool
    _placement: Placement
    _writing: threading.Lock

    @cached_property
    def models(self) -> Registry:
        """The registry of models."""
        from qrank.models.registry import Registry

        return Registry(self._settings)

    def _open(self) -> Store:
        """The store, open for reading in this thread. Raises NoIndexError."""
        raise NotImplementedError

    def _bundled_embedder(
        self, store: Store
    ) -> tuple[int, Callable[[], AbstractContextManager[Embedder]]] | None:
        """(id in the store, function that loads it) of the model of the index's vectors, if it is
        the small one that is bundled with qrank, else None."""
        raise NotImplementedError

    def add(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        collection: str | None = None,
        embed: bool = True,
        progress: Progress | None = None,
        walking: Walking | None = None,
        reading: Reading | None = None,
    ) -> IndexReport:
        """Index files and folders, or update them; documents whose file is gone are removed.

        walking: which files are indexed; reading: how they are read. Files that can't be read are
        in the report. Raises InputError for a path that does not exist, IndexFileError or
        ModelError when the index or the model can't be used.
        """
        from qrank.indexing import roots as stored_roots
        from qrank.indexing.index import existing, index_paths, links
        from qrank.progress import Silent
        from qrank.store import open_store

        require_type("collection", collection, str, NoneType)
        require_type("embed", embed, bool)
        require_type("walking", walking, Walking, NoneType)
        require_type("reading", reading, Reading, NoneType)
        require_progress(progress)
        walking = walking or Walking(home=self._settings.home)
        paths = path_list("paths", paths)
        roots = existing(paths, walking)  # raises before an index is created
        name = collection or self._settings.get("collection") or DEFAULT_COLLECTION
        with self._writing, open_store(self.path, write=True) as store:
            model = self._model_for_indexing(store) if embed else None
            walking = stored_roots.with_rules(store, name, walking)
            with store.transaction():
                stored_roots.note(store, name, roots, walking, reading or READ_ALL)
            return index_paths(
                store,
                roots,
                name,
                model,
                self._placement,
                progress or Silent(),
                walking,
                reading or READ_ALL,
                former=links(paths),
                others=stored_roots.named_below(store.roots().get(name, ()), roots),
            )

    def walking(self, collection: str | None = None, walking: Walking | None = None) -> Walking:
        """walking (default: all files) with the ignore rules of a collection."""
        from qrank.indexing.roots import with_rules

        name = collection or self._settings.get("collection") or DEFAULT_COLLECTION
        try:
            return with_rules(self._open(), name, walking or WALK_ALL)
        except NoIndexError:
            return walking or WALK_ALL

    def update(
        self,
        *,
        collections: str | Sequence[str] = (),
        embed: bool = True,
        progress: Progress | None = None,
        walking: Walking | None = None,
        reading: Reading | None = None,
    ) -> IndexReport:
        """Update collections (all when empty) from the files and folders that `add` was given, with
        the options of those calls; walking and reading: other options. Folders that do not exist
        now keep their documents, and are in the report's `missing`.

        Raises InputError for an unknown collection, or when no folder is known.
        """
        from qrank.indexing.update import update
        from qrank.progress import Silent

        require_type("embed", embed, bool)
        require_progress(progress)
        names = text_list("collections", collections)
        with self._write() as store:
            return update(
                store,
                names,
                self._model_for_indexing(store) if embed else None,
                self._placement,
                progress or Silent(),
                walking or WALK_ALL,
                reading or READ_ALL,
            )

    def refresh(
        self, seconds: float = 0.5, *, vectors: bool = False, walking: Walking | None = None
    ) -> list[str]:
        """Index changed plain text files below the folders that `add` was given, for at most
        seconds; vectors: embed their texts in the remaining time, if the index's model is the one
        bundled with qrank. Returns messages on what may still be stale, also when the index can't
        be written. Raises NoIndexError without an index."""
        from qrank.indexing.update import refresh

        require_number("seconds", seconds, least=0)
        require_type("vectors", vectors, bool)
        require_type("walking", walking, Walking, NoneType)
        self._open()
        try:
            with self._write() as store:
                model = self._bundled_embedder(store) if vectors else None
                return refresh(store, seconds, walking or WALK_ALL, READ_ALL, model)
        except (IndexFileError, InputError) as error:
            return [f"not refreshed: {error.what}"]

    def collections(self) -> list[Collected]:
        """The collections with their settings and roots, ordered by name."""
        from qrank.indexing.update import collections

        return collections(self._open())

    def set_collection(
        self,
        name: str,
        *,
        description: str | None = None,
        ignore: Sequence[str] | None = None,
        instruction: str | None = None,
    ) -> None:
        """Change settings of a collection. description: its subject, for people and agents; ignore:
        rules as in a .gitignore in each of its folders, for following runs; instruction: for
        embedding models that take one with a query. Empty removes one, None leaves it unchanged.
        Raises InputError for an unknown collection or an invalid rule."""
        from qrank.indexing.update import set_collection

        require_type("description", description, str, NoneType)
        require_type("instruction", instruction, str, NoneType)
        rules = None if ignore is None else text_list("ignore", ignore)
        with self._write() as store:
            set_collection(store, name, description, rules, instruction)

    def remove(
        self,
        paths: str | Path | Iterable[str | Path] = (),
        *,
        collections: str | Sequence[str] = (),
    ) -> int:
        """Remove the documents at and below paths from collections (all when empty); without paths,
        whole collections. The files need not exist. Returns the number of removed files.

        Raises InputError for a path without documents, and for an unknown collection.
        """
        from qrank.indexing.remove import remove_paths

        names = text_list("collections", collections)
        with self._write() as store:
            return remove_paths(store, path_list("paths", paths), names)

    def ignore(self, paths: str | Path | Iterable[str | Path]) -> list[tuple[Path, str]]:
        """Append an ignore rule for each path to .qrankignore in the indexed folder that it is
        below. Returns (file, rule) for each. Raises InputError when a file can't be written."""
        from qrank.indexing.rules import ignore

        named = [absolute(str(path)) for path in path_list("paths", paths)]
        return ignore(self._open(), named)

    def coming_back(
        self, paths: str | Path | Iterable[str | Path], *, walking: Walking | None = None
    ) -> dict[str, str]:
        """Those of some paths that the next update would index again, each with the root that leads
        to it. walking: which files are indexed."""
        from qrank.indexing.rules import coming_back

        named = [absolute(str(path)) for path in path_list("paths", paths)]
        return coming_back(self._open(), named, walking or WALK_ALL)

    def _model_for_indexing(self, store: Store) -> IndexModel:
        from qrank.inference.index_model import model_for_indexing

        needed = (store, self._cache, self.models, self._embed_name)
        return model_for_indexing(*needed, insists=self._embed_typed)

    @contextmanager
    def _write(self) -> Iterator[Store]:
        """The store, open for writing. Raises NoIndexError without an index."""
        from qrank.store import open_store

        self._open()
        with self._writing, open_store(self.path, write=True) as store:
            yield store
