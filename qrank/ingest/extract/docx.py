"""Word documents: headings by their styles, paragraphs, tables, notes (python-docx)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract.archive import open_zip, xml
from qrank.ingest.extract.building import Builder, one_line
from qrank.results import Document

if TYPE_CHECKING:
    from docx.table import Table
    from docx.text.paragraph import Paragraph

_LEVEL = re.compile(r"(?:heading|title|titre|überschrift)\s*(\d?)", re.IGNORECASE)
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the document; its title is that of its properties, else its first heading."""
    import docx
    from docx.opc.exceptions import PackageNotFoundError
    from docx.table import Table

    archive = open_zip(file)  # its sizes are looked at first
    file.seek(0)
    try:
        opened = docx.Document(file)
    except (PackageNotFoundError, KeyError, ValueError) as error:
        raise ExtractError("damaged, or no Word document") from error
    builder = Builder()
    for item in opened.iter_inner_content():
        if isinstance(item, Table):
            builder.paragraph(_table(item))
        else:
            _add(builder, item)
    for name in ("word/footnotes.xml", "word/endnotes.xml", "word/comments.xml"):
        if name in archive.namelist():
            for paragraph in xml(archive, name).iter(f"{_W}p"):
                builder.paragraph("".join(t.text or "" for t in paragraph.iter(f"{_W}t")))
    properties = opened.core_properties
    fields = {"author": properties.author} if properties.author else {}
    yield builder.document(properties.title or builder.first_heading, fields)


def _add(builder: Builder, paragraph: Paragraph) -> None:
    text = paragraph.text
    if not text.strip():
        # A text box: its paragraphs lie within the one that holds it.
        text = "\n".join(t.text or "" for t in paragraph._p.iter(f"{_W}t"))
    level = _LEVEL.match((paragraph.style.name if paragraph.style else "") or "")
    if level:
        builder.heading(int(level[1] or 1), text)
    else:
        builder.paragraph(text)


def _table(table: Table) -> str:
    """Rows as lines; a cell that spans several columns comes once."""
    lines = []
    for row in table.rows:
        cells = list(dict.fromkeys(cell._tc for cell in row.cells))
        texts = [one_line("".join(t.text or "" for t in cell.iter(f"{_W}t"))) for cell in cells]
        lines.append(" | ".join(texts))
    return "\n".join(lines)
