"""PowerPoint: slides as pages with their titles as headings, each followed by its notes and
comments.

Format: ECMA-376, part 1, chapters 19 (PresentationML) and 21 (DrawingML). (python-pptx would depend
on an imaging library.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from qrank.ingest.extract.building import Builder, one_line
from qrank.ingest.extract.office import embedded
from qrank.ingest.extract.office.package import Package, attribute, child, local, relation_id
from qrank.ingest.extract.office.story import Story
from qrank.results import Document
from qrank.settings import Reading

if TYPE_CHECKING:
    from lxml.etree import _Element

_NUMBER = re.compile(r"\d+")
_TITLES = frozenset({"title", "ctrTitle"})
_REPEATED = frozenset({"ftr", "hdr"})  # placeholders with the same text on all slides
_SKIPPED = frozenset({"sldNum", "dt", "sldImg"})


def extract(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the document, then its members. The title is that of its properties, else of the first
    slide. Raises ExtractError."""
    package = Package(file)
    main = package.main("ppt/presentation.xml")
    builder = Builder()
    story = _Slides(package, builder)
    layouts: dict[str, None] = {}
    for number, name in enumerate(_slides(package, main), 1):
        builder.page(number)
        builder.headings()
        root = package.xml(name)
        if root is not None:
            story.read(root, name)
        for kind in ("notesSlide", "comments"):
            for part in package.targets(name, kind):
                story.add_notes(part)
        layouts |= dict.fromkeys(package.targets(name, "slideLayout"))
    builder.part()
    builder.headings()
    story.add_repeated(layouts)
    title, fields = package.properties()
    builder.note = package.omissions.note()
    yield builder.document(title or builder.first_heading, fields)
    yield from embedded.members(package, reading)


def _slides(package: Package, main: str) -> list[str]:
    """The names of the slides, in the order of the presentation; if that lists none, all slides in
    the package, by number."""
    related = package.related(main)
    root = package.root(main)
    ids = (relation_id(slide) for slide in root.iter("{*}sldId"))
    slides = {related[each].target: None for each in ids if each in related}
    slides.pop("", None)
    if slides:
        return [*slides]
    names = [name for name in package.names("ppt/slides/") if name.endswith(".xml")]
    return sorted(names, key=lambda name: [*map(int, _NUMBER.findall(name[-12:]))])


class _Slides(Story):
    """Adds the shapes of slides, notes and comments."""

    def __init__(self, package: Package, builder: Builder) -> None:
        super().__init__(package, builder)
        self._parts: set[str] = set()  # the notes and comments that were read
        self._repeated: dict[str, None] = {}  # the headers and footers of slides
        self._is_master = False

    def shape(self, element: _Element) -> None:
        """Add a shape: titles as headings; headers and footers are added at the end."""
        placeholder = child(element, "nvSpPr", "nvPr", "ph")
        kind = attribute(placeholder, "type")
        if kind in _SKIPPED or (self._is_master and placeholder is not None):
            return
        text = "\n".join(self.lines(element))
        if kind in _REPEATED:
            self._repeated[one_line(text)] = None
        elif kind in _TITLES:
            self.builder.heading(1, text)
        else:
            self.builder.paragraph(text)

    def add_notes(self, name: str) -> None:
        """Add a part with notes or comments of a slide, unless it was added before."""
        root = None if name in self._parts else self.package.xml(name)
        self._parts.add(name)
        if root is None:
            return
        if local(root) == "notes":
            self.read(root, name)
            return
        self.part = name
        for element in root.iter("{*}text", "{*}txBody"):  # of older and newer comments
            if local(element) == "text":
                self.builder.paragraph(element.text or "")
            else:
                self.builder.paragraph("\n".join(self.lines(element)))

    def add_repeated(self, layouts: dict[str, None]) -> None:
        """Add the headers and footers of slides, and the texts of their layouts and masters."""
        for text in self._repeated:
            self.builder.paragraph(text)
        self._is_master = True
        masters = {
            name: None for each in layouts for name in self.package.targets(each, "slideMaster")
        }
        for name in (*layouts, *masters):
            root = self.package.xml(name)
            if root is not None:
                self.read(root, name)
