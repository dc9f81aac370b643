"""Word documents: headings, paragraphs and tables with their notes and comments, then page headers.

Format: ECMA-376, part 1, chapter 17 (WordprocessingML).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from qrank.ingest.extract.building import Builder
from qrank.ingest.extract.office import embedded
from qrank.ingest.extract.office.numbering import Numbering
from qrank.ingest.extract.office.package import Package, attribute, basis, child, local
from qrank.ingest.extract.office.story import Story
from qrank.results import Document
from qrank.settings import Reading

if TYPE_CHECKING:
    from lxml.etree import _Element

_LEVEL = re.compile(r"(?:heading|title|titre|überschrift)\s*(\d?)", re.IGNORECASE)
MAX_BASED_ON = 20  # length of a chain of styles
_NOTES = {"footnote": "footnotes", "endnote": "endnotes", "comment": "comments"}
_SEPARATORS = frozenset({"separator", "continuationSeparator", "continuationNotice"})


def extract(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the document, then its members. The title is that of its properties, else its first
    heading. Raises ExtractError."""
    package = Package(file)
    main = package.main("word/document.xml")
    builder = Builder()
    styles = _part(package, main, "styles")
    story = _Word(package, builder, main, styles)
    story.read(package.root(main), main)
    story.add_unreferenced_notes()
    builder.headings()
    builder.part()
    seen: set[str] = set()
    for name in package.targets(main, "header", "footer"):
        root = package.xml(name)
        text = "" if root is None else " ".join("".join(map(str, root.itertext())).split())
        if root is not None and text not in seen:  # each section may repeat them
            seen.add(text)
            story.read(root, name)
    title, fields = package.properties()
    builder.note = package.omissions.note()
    yield builder.document(title or builder.first_heading, fields)
    yield from embedded.members(package, reading)


class _Word(Story):
    """The body of a document, with its headings and notes."""

    def __init__(
        self, package: Package, builder: Builder, main: str, styles: _Element | None
    ) -> None:
        super().__init__(package, builder)
        self._levels = _levels(styles)
        self._numbering = Numbering(_part(package, main, "numbering"), styles)
        self._notes: dict[tuple[str, str], tuple[_Element, str]] = {}  # (kind, id): (note, part)
        for kind, listing in _NOTES.items():
            folder = main.rpartition("/")[0]
            for name in package.targets(main, listing) or [f"{folder}/{listing}.xml"]:
                root = package.xml(name)
                for each in () if root is None else root:
                    if local(each) == kind and attribute(each, "type") not in _SEPARATORS:
                        self._notes[kind, attribute(each, "id")] = (each, name)

    def paragraph(self, element: _Element, *, is_deferred: bool = False) -> None:
        """Add a paragraph, or a heading of the body."""
        text = self.numbered(element)
        level = 0 if is_deferred else self._level(element)
        if level:
            self.builder.heading(level, text)
        else:
            self.builder.paragraph(text)

    def numbered(self, element: _Element, *, alone: bool = False) -> str:
        """The text of a paragraph, after its number in a list. alone: return the number of an empty
        paragraph, too."""
        number = self._numbering.number(element)
        text = self.text(element)
        return f"{number} {text}".strip() if number and (alone or text.strip()) else text

    def reference(self, name: str, element: _Element) -> None:
        """Add the note after the block that refers to it."""
        note = self._notes.pop((name.removesuffix("Reference"), attribute(element, "id")), None)
        if note is not None:
            self.defer(lambda: self._note(*note))

    def add_unreferenced_notes(self) -> None:
        """Add the notes without a reference."""
        while self._notes:
            self._note(*self._notes.pop(next(iter(self._notes))))
            self.flush()

    def _note(self, element: _Element, part: str) -> None:
        self.part = part
        self.blocks([element], is_deferred=True)

    def _level(self, paragraph: _Element) -> int:
        """The level of a heading; 0 for other paragraphs."""
        properties = child(paragraph, "pPr")
        if properties is None:
            return 0
        level = _outline_level(properties)
        if level is not None:
            return level
        return self._levels.get(attribute(child(properties, "pStyle"), "val"), 0)


def _outline_level(properties: _Element | None) -> int | None:
    """The outline level in properties: 0 for body text, None without one."""
    value = attribute(child(properties, "outlineLvl"), "val")
    if not value.isdecimal():
        return None
    return int(value[:2]) + 1 if int(value[:2]) < 9 else 0


def _part(package: Package, main: str, kind: str) -> _Element | None:
    """A part used by the main one: by its relationship, else by its usual name; None if missing."""
    names = package.targets(main, kind) or [f"{main.rpartition('/')[0]}/{kind}.xml"]
    return package.xml(names[0])


def _levels(styles: _Element | None) -> dict[str, int]:
    """The levels of heading styles: by their outline level, by their names, or by the styles that
    they are based on."""
    own: dict[str, int] = {}
    based: dict[str, str] = {}
    for style in () if styles is None else styles:
        if local(style) != "style" or attribute(style, "type") not in ("paragraph", ""):
            continue
        identity = attribute(style, "styleId")
        based[identity] = attribute(child(style, "basedOn"), "val")
        level = _outline_level(child(style, "pPr"))
        match = _LEVEL.match(attribute(child(style, "name"), "val"))
        if level is None and match:
            level = int(match[1] or 1)
        if level is not None:
            own[identity] = level
    result = {}
    for identity in based:
        each = basis(identity, own, based, MAX_BASED_ON)
        if own.get(each):
            result[identity] = own[each]
    return result
