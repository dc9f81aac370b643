"""An Office Open XML package: its parts and their relationships.

Format: ECMA-376, part 2 (packages). Strict files have other namespaces than Transitional ones, so
elements are matched by their local names.
"""

from __future__ import annotations

import posixpath
from collections.abc import Container, Mapping
from functools import lru_cache
from typing import IO, TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.parse import unquote

from qrank.errors import ExtractError
from qrank.ingest.extract import archive
from qrank.ingest.extract.building import Omissions, properties

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_RELATIONS = 100_000  # of one part


@lru_cache(4096)
def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def local(element: _Element) -> str:
    """An element's name without its namespace; empty for a comment."""
    return _local(element.tag) if isinstance(element.tag, str) else ""


def attribute(element: _Element | None, name: str, default: str = "") -> str:
    """An attribute's value, in any namespace."""
    if element is not None:
        for key, value in element.items():
            if _local(str(key)) == name:
                return str(value)
    return default


def basis(style: str, own: Container[str], based: Mapping[str, str], most: int) -> str:
    """The first style in own of a chain: style, the one it is based on, and so on for at most most
    steps; one not in own when there is none. based: the base of each style."""
    for _ in range(most):
        if style in own or not style:
            break
        style = based.get(style, "")
    return style


def child(element: _Element | None, *path: str) -> _Element | None:
    """The first element along a path of local names; None when there is none."""
    for name in path:
        for each in () if element is None else element:
            if local(each) == name:
                element = each
                break
        else:
            return None
    return element


def relation_id(element: _Element, name: str = "id") -> str:
    """The relationship id in an attribute (`r:id`, `r:embed`, ...); empty without one."""
    for key, value in element.items():
        if str(key).endswith(f"/relationships}}{name}"):
            return str(value)
    return ""


class Relation(NamedTuple):
    """A relationship. target: the name of a part, empty for an external or missing one; kind: the
    last segment of its type, such as `header`."""

    target: str
    kind: str


class Package:
    """The parts of a file. Damaged parts are skipped, with a note."""

    def __init__(self, file: BinaryIO) -> None:
        self.omissions = Omissions()
        self.embedded: dict[str, None] = {}  # parts that are embedded files; filled by readers
        self._archive = archive.open_zip(file)
        if reason := archive.truncation_note(self._archive):
            self.omissions.add(reason)
        # Names of parts ignore case; some programs write them with backslashes.
        self._names = {name.lower().replace("\\", "/"): name for name in self._archive.namelist()}

    def main(self, usual: str) -> str:
        """The name of the main part; usual: its usual name. Raises ExtractError."""
        for relation in self.related("").values():
            if relation.kind == "officeDocument" and self.has(relation.target):
                return relation.target
        if not self.has(usual):
            archive.read(self._archive, usual)  # raises the error
        return usual

    def has(self, name: str) -> bool:
        """Whether there is a part of this name."""
        return name.lower() in self._names

    def names(self, folder: str) -> list[str]:
        """The parts below a folder, in order."""
        return [
            name.replace("\\", "/")
            for folded, name in self._names.items()
            if folded.startswith(folder.lower())
        ]

    def _own(self, name: str) -> str:
        return self._names.get(name.lower(), name)

    def data(self, name: str) -> bytes:
        """A part's content. Raises ExtractError when it is missing or damaged."""
        return archive.read(self._archive, self._own(name))

    def open(self, name: str) -> IO[bytes]:
        """Open a part as a stream."""
        return self._archive.open(self._own(name))

    def root(self, name: str) -> _Element:
        """A part's XML. Raises ExtractError when it is missing or damaged."""
        return archive.parse_xml(self.data(name), name)

    def xml(self, name: str) -> _Element | None:
        """A part's XML; None when it is missing, or damaged, with a note."""
        if not self.has(name):
            return None
        try:
            return self.root(name)
        except ExtractError:
            self.omissions.add(f"{name} (damaged)")
            return None

    def related(self, name: str) -> dict[str, Relation]:
        """A part's relationships by id; for the name "", those of the package."""
        folder, base = posixpath.split(name)
        root = self.xml(posixpath.join(folder, "_rels", f"{base}.rels"))
        result: dict[str, Relation] = {}
        for item in () if root is None else root:
            if local(item) != "Relationship":
                continue
            kind = posixpath.basename(item.get("Type", ""))
            target = unquote(item.get("Target", "")).replace("\\", "/").partition("#")[0]
            target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
            inside = item.get("TargetMode") != "External" and self.has(target)
            result[item.get("Id", "")] = Relation(target if inside else "", kind)
            if len(result) >= MAX_RELATIONS:
                break
        return result

    def targets(self, name: str, *kinds: str) -> list[str]:
        """The targets of a part's relationships of some kinds, without duplicates."""
        return list(
            {
                relation.target: None
                for relation in self.related(name).values()
                if relation.kind in kinds and relation.target
            }
        )

    def properties(self) -> tuple[str, dict[str, object]]:
        """(title, fields); fields: author, subject, keywords."""
        names = self.targets("", "core-properties")
        root = self.xml(names[0] if names else "docProps/core.xml")
        values = {} if root is None else {local(each): each.text or "" for each in root}
        fields = properties(
            values.get("creator", ""), values.get("subject", ""), values.get("keywords", "")
        )
        return values.get("title", ""), fields
