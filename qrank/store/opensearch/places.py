"""Mapping between paths in the index and paths on this machine."""

from __future__ import annotations

from qrank.names import folder_key, moved, over
from qrank.store.filters import FileTest, Filter, Test
from qrank.store.interface import Root
from qrank.store.opensearch.state import Shared
from qrank.urls import IndexUrl


class Places:
    """Converts paths; both forms are the same except in folders that the user maps."""

    def __init__(self, place: IndexUrl, shared: Shared) -> None:
        self._here = dict(place.folders)
        self._stored = {here: stored for stored, here in place.folders}
        self._shared = shared
        self._named: dict[str, list[Root]] = {}  # the roots that _roots was made from
        self._roots: dict[str, frozenset[str]] = {}  # keys of local paths of roots, by collection

    def here(self, path: str) -> str:
        """The local path for a path of the index."""
        return moved(path, self._here) if self._here else path

    def stored(self, path: str) -> str:
        """The path in the index for a local path, or for a glob."""
        return moved(path, self._stored) if self._stored else path

    def root(self, collection: str, path: str) -> str:
        """The root of a file by its local path, else its folder. When that does not exist here, the
        file is on another machine."""
        named = self._shared.read().roots
        if named is not self._named:
            self._named = named
            self._roots = {
                name: frozenset(folder_key(self.here(root.path)) for root in roots)
                for name, roots in named.items()
            }
        own = path.rpartition("/")[0]
        return next(over(own, self._roots.get(collection, frozenset())), own) or "/"

    def stored_filter(self, filter: Filter) -> Filter:
        """A filter with local paths replaced by those of the index."""
        if not self._stored:
            return filter
        return filter._replace(
            names=tuple(map(self.stored, filter.names)),
            paths=tuple(map(self.stored, filter.paths)),
            conditions=tuple(
                condition._replace(tests=tuple(map(self._stored_test, condition.tests)))
                for condition in filter.conditions
            ),
        )

    def _stored_test(self, test: Test | FileTest) -> Test | FileTest:
        if isinstance(test, Test):
            return test
        names, paths = (tuple(map(self.stored, each)) for each in (test.names, test.paths))
        return test._replace(names=names, paths=paths)
