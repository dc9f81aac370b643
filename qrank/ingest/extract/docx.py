"""Word documents: headings by their styles, paragraphs, tables, notes (python-docx)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO
from zipfile import BadZipFile

from qrank.errors import ExtractError
from qrank.ingest.extract.archive import open_zip, xml
from qrank.ingest.extract.building import Builder, one_line
from qrank.results import Document

if TYPE_CHECKING:
    from docx.text.paragraph import Paragraph
    from lxml.etree import _Element

_LEVEL = re.compile(r"(?:heading|title|titre|überschrift)\s*(\d?)", re.IGNORECASE)
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MATH_TEXT = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
# A text box for the second time, for programs that do not know its first form.
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_SKIPPED = {_FALLBACK} | {_W + name for name in ("pPr", "rPr", "sdtPr", "del", "moveFrom")}
_SIGNS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the document; its title is that of its properties, else its first heading."""
    import docx
    from docx.opc.exceptions import PackageNotFoundError
    from docx.text.paragraph import Paragraph
    from lxml.etree import XMLSyntaxError

    archive = open_zip(file)  # its sizes are looked at first
    file.seek(0)
    try:
        opened = docx.Document(file)
    except (PackageNotFoundError, BadZipFile, XMLSyntaxError, KeyError, ValueError) as error:
        raise ExtractError("damaged, or no Word document") from error
    builder = Builder()
    levels: dict[str, int] = {}  # by style: to look one up goes through all styles
    for element in _blocks(opened.element.body):
        if element.tag == f"{_W}tbl":
            builder.paragraph(_table(element))
            continue
        text = _text(element)
        style = element.find(f"{_W}pPr/{_W}pStyle")
        name = "" if style is None else style.get(f"{_W}val", "")
        if name not in levels:
            levels[name] = _level(Paragraph(element, opened))  # type: ignore[arg-type]
        if levels[name]:
            builder.heading(levels[name], text)
        else:
            builder.paragraph(text)
    for name in ("word/footnotes.xml", "word/endnotes.xml", "word/comments.xml"):
        if name in archive.namelist():
            for paragraph in xml(archive, name).iter(f"{_W}p"):
                builder.paragraph(_text(paragraph))
    properties = opened.core_properties
    fields = {"author": properties.author} if properties.author else {}
    yield builder.document(properties.title or builder.first_heading, fields)


def _blocks(body: _Element) -> Iterator[_Element]:
    """Paragraphs and tables in order, those in content controls and tracked insertions, too."""
    pending = [body]
    while pending:
        element = pending.pop()
        if element.tag in (f"{_W}p", f"{_W}tbl"):
            yield element
        elif element.tag not in _SKIPPED:
            pending += reversed(element)


def _text(element: _Element) -> str:
    """The text of an element, of text boxes and fields in it, too; nothing of what was deleted."""
    pieces: list[str] = []
    pending = [element]
    while pending:
        each = pending.pop()
        if each.tag in _SKIPPED:
            continue
        if each.tag in (f"{_W}t", _MATH_TEXT):
            pieces.append(each.text or "")
        elif each.tag in _SIGNS:
            pieces.append(_SIGNS[str(each.tag)])
        elif each.tag == f"{_W}p" and pieces:
            pieces.append("\n")
        pending += reversed(each)
    return "".join(pieces)


def _level(paragraph: Paragraph) -> int:
    """The level of a heading, by the name of its style; 0 for other paragraphs."""
    level = _LEVEL.match((paragraph.style.name if paragraph.style else "") or "")
    return int(level[1] or 1) if level else 0


def _table(table: _Element) -> str:
    """Rows as lines; a cell that spans several columns comes once, one that spans several rows in
    each of them (ECMA-376, part 1, 17.4: gridBefore, gridSpan, vMerge)."""
    lines = []
    above: dict[int, str] = {}  # by column: the text of the cell that begins there
    for row in table.iterchildren(f"{_W}tr"):
        column = _number(row.find(f"{_W}trPr/{_W}gridBefore"), 0)
        cells = []
        for cell in row.iterchildren(f"{_W}tc"):
            merged = cell.find(f"{_W}tcPr/{_W}vMerge")
            if merged is None or merged.get(f"{_W}val", "continue") != "continue":
                above[column] = one_line(_text(cell))
            cells.append(above.setdefault(column, ""))
            column += _number(cell.find(f"{_W}tcPr/{_W}gridSpan"), 1)
        lines.append(" | ".join(cells))
    return "\n".join(lines)


def _number(element: _Element | None, default: int) -> int:
    value = "" if element is None else element.get(f"{_W}val", "")
    return int(value[:4]) if value.isdecimal() else default
