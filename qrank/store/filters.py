"""Which chunks a search may return."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Filter:
    """collections: any of these names, all when empty. paths: a file's whole path matches any of
    these SQLite GLOBs; all do when empty."""

    collections: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @classmethod
    def of(cls, collections: tuple[str, ...] = (), path: str | None = None) -> Filter:
        """A filter from what a user typed: a relative glob matches at any depth, one that begins
        with ./ or ../ in this folder; a name without wildcards is a file or a whole folder.

        >>> Filter.of(path="*.md").paths, Filter.of(path="/a/*").paths
        (('*.md',), ('/a/*',))
        >>> Filter.of(path="notes/").paths
        ('*/notes', '*/notes/*')
        """
        if not path:
            return cls(collections)
        if path.startswith(("./", "../")):
            path = os.path.abspath(path)  # noqa: PTH100  (a glob, not a file)
        elif not path.startswith(("/", "*")):
            path = "*/" + path
        if any(wildcard in path.removeprefix("*/") for wildcard in "*?["):
            return cls(collections, (path,))
        name = path.rstrip("/")
        return cls(collections, (name, f"{name}/*"))

    def sql(self) -> tuple[str, list[str]]:
        """A condition on the table file and its arguments; an empty one lets everything pass."""
        clauses: list[str] = []
        if self.collections:
            clauses.append(f"file.collection IN ({', '.join('?' * len(self.collections))})")
        if self.paths:
            clauses.append("(" + " OR ".join(["file.path GLOB ?"] * len(self.paths)) + ")")
        return " AND ".join(clauses), [*self.collections, *self.paths]


EVERYTHING = Filter()
