"""OpenDocument text and presentations: headings, paragraphs, lists, tables; slides as pages.

The format: OASIS OpenDocument 1.3, part 3, sections 5 (text), 9 (tables) and 10 (drawings).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract.archive import open_zip, xml
from qrank.ingest.extract.building import Builder, one_line
from qrank.results import Document

if TYPE_CHECKING:
    from lxml.etree import _Element

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_LEFT_OUT = frozenset({f"{_TEXT}tracked-changes", f"{_OFFICE}forms", f"{_TEXT}sequence-decls"})


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the document; its title is that of its properties, else its first heading."""
    archive = open_zip(file)
    body = xml(archive, "content.xml").find(f"{_OFFICE}body")
    if body is None:
        raise ExtractError("damaged, or no OpenDocument file")
    builder = Builder()
    slide = 0
    pending: list[_Element] = list(reversed(body))
    while pending:
        element = pending.pop()
        tag = element.tag
        if tag in _LEFT_OUT or not isinstance(tag, str):
            continue
        if tag == f"{_TEXT}h":
            level = element.get(f"{_TEXT}outline-level", "1")
            builder.heading(int(level[:3]) if level.isdecimal() else 1, _text(element))
        elif tag == f"{_TEXT}p":
            builder.paragraph(_text(element))
        elif tag == f"{_TABLE}table-row":
            cells = element.iterfind(f"{_TABLE}table-cell")
            builder.paragraph(" | ".join(one_line(_text(cell)) for cell in cells))
        else:
            if tag == f"{_DRAW}page":
                slide += 1
                builder.page(slide)
                builder.headings(element.get(f"{_DRAW}name", ""))
            pending.extend(reversed(element))
    title = ""
    if "meta.xml" in archive.namelist():
        title = xml(archive, "meta.xml").findtext(f".//{_DC}title") or ""
    yield builder.document(title or builder.first_heading)


def _text(element: _Element) -> str:
    """The text of a paragraph with its blanks, tabs and line breaks, and of what lies in it."""
    from lxml import etree

    pieces: list[str] = []
    for event, part in etree.iterwalk(element, events=("start", "end")):
        if event == "end":
            if part is not element:
                pieces.append(part.tail or "")
            continue
        if part.tag == f"{_TEXT}s":
            count = part.get(f"{_TEXT}c", "1")
            pieces.append(" " * min(int(count[:3]) if count.isdecimal() else 1, 80))
        elif part.tag == f"{_TEXT}tab":
            pieces.append("\t")
        elif part.tag == f"{_TEXT}line-break" or (part.tag == f"{_TEXT}p" and pieces):
            pieces.append("\n")
        pieces.append(part.text or "")
    return "".join(pieces)
