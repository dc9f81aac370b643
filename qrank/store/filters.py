"""Which chunks a search may return."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Filter:
    """collections: any of these names, all when empty. path: an SQLite GLOB on the whole path."""

    collections: tuple[str, ...] = ()
    path: str | None = None

    @classmethod
    def of(cls, collections: tuple[str, ...] = (), path: str | None = None) -> Filter:
        """A filter from what a user typed: a relative glob matches at any depth, one that begins
        with ./ or ../ in this folder.

        >>> Filter.of(path="*.md").path, Filter.of(path="notes/*").path, Filter.of(path="/a/*").path
        ('*.md', '*/notes/*', '/a/*')
        """
        if path and path.startswith(("./", "../")):
            path = os.path.abspath(path)  # noqa: PTH100  (a glob, not a file)
        elif path and not path.startswith(("/", "*")):
            path = "*/" + path
        return cls(collections, path or None)

    def sql(self) -> tuple[str, list[str]]:
        """A condition on the table file and its arguments; an empty one lets everything pass."""
        clauses: list[str] = []
        if self.collections:
            clauses.append(f"file.collection IN ({', '.join('?' * len(self.collections))})")
        if self.path is not None:
            clauses.append("file.path GLOB ?")
        return " AND ".join(clauses), [*self.collections, *([self.path] if self.path else [])]


EVERYTHING = Filter()
