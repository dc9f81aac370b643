"""PowerPoint: slides as pages, with their titles as headings, tables and notes.

The format: ECMA-376, part 1, chapters 19 (PresentationML) and 21 (DrawingML). python-pptx would do
it, too, but brings an imaging library that nothing here needs.
"""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from qrank.ingest.extract.archive import open_zip, xml
from qrank.ingest.extract.building import Builder, one_line
from qrank.results import Document

if TYPE_CHECKING:
    from lxml.etree import _Element

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_NOTES = "/notesSlide"
_DC_TITLE = "{http://purl.org/dc/elements/1.1/}title"


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the document; its title is that of its properties, else of the first slide."""
    archive = open_zip(file)
    builder = Builder()
    main = "ppt/presentation.xml"
    unread = set(archive.namelist())  # a slide that is named again is not read again
    related = _related(archive, main)
    for number, slide in enumerate(xml(archive, main).iter(f"{_P}sldId"), 1):
        name, _ = related.get(slide.get(f"{_R}id", ""), ("", ""))
        if name not in unread:
            continue
        unread.remove(name)
        builder.page(number)
        builder.headings()
        _shapes(builder, xml(archive, name))
        for notes, kind in _related(archive, name).values():
            if kind.endswith(_NOTES) and notes in unread:
                unread.remove(notes)
                _shapes(builder, xml(archive, notes))
    title = ""
    if "docProps/core.xml" in archive.namelist():
        title = xml(archive, "docProps/core.xml").findtext(_DC_TITLE) or ""
    yield builder.document(title or builder.first_heading)


def _shapes(builder: Builder, slide: _Element) -> None:
    for shape in slide.iter(f"{_P}sp", f"{_A}tbl"):
        if shape.tag == f"{_A}tbl":
            rows = shape.iterfind(f"{_A}tr")
            builder.paragraph("\n".join(" | ".join(map(_cell, row)) for row in rows))
            continue
        placeholder = shape.find(f".//{_P}ph")
        kind = placeholder.get("type", "") if placeholder is not None else ""
        if kind in ("sldNum", "dt", "ftr", "hdr"):
            continue
        texts = [text for text in map(_paragraph, shape.iter(f"{_A}p")) if text.strip()]
        if kind in ("title", "ctrTitle"):
            builder.heading(1, " ".join(texts))
        else:
            builder.paragraph("\n".join(texts))


def _paragraph(paragraph: _Element) -> str:
    return "".join(
        "\n" if part.tag == f"{_A}br" else part.text or ""
        for part in paragraph.iter(f"{_A}t", f"{_A}br")
    )


def _cell(cell: _Element) -> str:
    return one_line(" ".join(map(_paragraph, cell.iter(f"{_A}p"))))


def _related(archive: zipfile.ZipFile, name: str) -> dict[str, tuple[str, str]]:
    """A part's relationships: id -> (the other part's name, kind)."""
    folder, base = posixpath.split(name)
    listing = f"{folder}/_rels/{base}.rels"
    if listing not in archive.NameToInfo:
        return {}
    return {
        item.get("Id", ""): (
            posixpath.normpath(posixpath.join("/", folder, item.get("Target", ""))).lstrip("/"),
            item.get("Type", ""),
        )
        for item in xml(archive, listing)
        if isinstance(item.tag, str)
    }
