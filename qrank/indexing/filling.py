"""Adding documents to an index and removing them: the part of the API that writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING

from qrank.arguments import path_list, require_number, require_progress, require_type, text_list
from qrank.closing import Closing
from qrank.errors import IndexFileError, InputError, NoIndexError
from qrank.names import absolute
from qrank.results import IndexReport
from qrank.settings import READ_ALL, WALK_ALL, Placement, Reading, Settings, Walking
from qrank.urls import IndexPlace

if TYPE_CHECKING:
    from qrank.indexing.update import Collected
    from qrank.inference.index_model import IndexModel
    from qrank.inference.loading import Embedder
    from qrank.models.registry import Registry
    from qrank.progress import Progress
    from qrank.store.cache import Cache
    from qrank.store.interface import Store

DEFAULT_COLLECTION = "default"


class Filling(Closing):
    """An index file as far as its documents are put in and taken out."""

    path: IndexPlace
    models: Registry
    _settings: Settings
    _cache: Cache
    _embed_name: str
    _embed_typed: bool
    _placement: Placement
    _writing: threading.Lock

    def _open(self) -> Store:
        """The index opened to read, by this thread."""
        raise NotImplementedError

    def _bundled_embedder(
        self, store: Store
    ) -> tuple[int, Callable[[], AbstractContextManager[Embedder]]] | None:
        """The model of the index's vectors where it is the small one that comes with qrank, with
        its id in the store."""
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
        """Index files and folders, or bring them up to date; what is gone below them is removed.

        walking: which files are taken; reading: how they are read. Files that can't be read are
        in the report. Raises InputError for a path that does not exist, IndexFileError or
        ModelError when the index or the model can't be used.
        """
        from qrank.indexing import roots as noted
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
        roots = existing(paths, walking)  # before an index file is made
        name = collection or self._settings.get("collection") or DEFAULT_COLLECTION
        with self._writing, open_store(self.path, write=True) as store:
            model = self._model_for_indexing(store) if embed else None
            walking = noted.with_rules(store, name, walking)
            with store.transaction():
                noted.note(store, name, roots, walking, reading or READ_ALL)
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
                others=noted.named_below(store.roots().get(name, ()), roots),
            )

    def walking(self, collection: str | None = None, walking: Walking | None = None) -> Walking:
        """How a run finds the files of a collection: by the collection's own ignore rules, too."""
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
        """Bring collections (all when none are named) up to date with the files and folders that
        `add` was given, each with the options it was given with; walking and reading: the others.
        Folders that are not there now keep their documents: they are in the report's `missing`.

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
        """Look for changes below the folders that `add` was given, for so many seconds, and take
        in those of plain texts; vectors: in the time that is left their vectors are made, too, by
        the model that comes with qrank. Returns what may still be stale, in sentences.
        An index that can't be written is said to be as it was. Raises NoIndexError without one."""
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
        """The collections, what they are about, and what they are made of."""
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
        """Say what a collection is about, to people and agents; which rules, as in a .gitignore in
        each of its folders, keep files out from the next run on; what embedding models that take an
        instruction are told with a query of it. Empty: nothing; None: as it was. Raises InputError
        when there is no such collection, or for what is no rule."""
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
        """Take what is at and below paths out of the index, of these collections (all when empty);
        without paths, these collections whole. The files may be gone. Returns how many were there.

        Raises InputError for a path or a collection that the index has nothing of.
        """
        from qrank.indexing.remove import remove_paths

        names = text_list("collections", collections)
        with self._write() as store:
            return remove_paths(store, path_list("paths", paths), names)

    def ignore(self, paths: str | Path | Iterable[str | Path]) -> list[tuple[Path, str]]:
        """Write an ignore rule for each path, so that no run brings it in: into .qrankignore in the
        indexed folder that it is below. Returns (file, rule) for each. Raises InputError."""
        from qrank.indexing.rules import ignore

        named = [absolute(str(path)) for path in path_list("paths", paths)]
        return ignore(self._open(), named)

    def coming_back(
        self, paths: str | Path | Iterable[str | Path], *, walking: Walking | None = None
    ) -> dict[str, str]:
        """Those of some paths that the next run brings in, each with the indexed folder that it
        does so from. walking: which files a run takes."""
        from qrank.indexing.rules import coming_back

        named = [absolute(str(path)) for path in path_list("paths", paths)]
        return coming_back(self._open(), named, walking or WALK_ALL)

    def _model_for_indexing(self, store: Store) -> IndexModel:
        from qrank.inference.index_model import model_for_indexing

        needed = (store, self._cache, self.models, self._embed_name)
        return model_for_indexing(*needed, insists=self._embed_typed)

    @contextmanager
    def _write(self) -> Iterator[Store]:
        """The index opened to write. Raises when there is none: none is made."""
        from qrank.store import open_store

        self._open()
        with self._writing, open_store(self.path, write=True) as store:
            yield store
