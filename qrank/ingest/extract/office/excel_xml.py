"""SpreadsheetML 2003, which is saved as .xls or .xml: a sheet is a page, a row a paragraph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from qrank.ingest.extract import archive
from qrank.ingest.extract.building import Builder, one_line
from qrank.ingest.extract.office import cells
from qrank.ingest.extract.office.package import attribute, child, local
from qrank.results import Document

if TYPE_CHECKING:
    from lxml.etree import _Element

NAMESPACE = b"urn:schemas-microsoft-com:office:spreadsheet"


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the sheets, long ones in parts. Raises ExtractError when it is not XML."""
    root = archive.parse_xml(file.read(archive.MAX_XML + 1), "workbook")
    title_element = child(root, "DocumentProperties", "Title")
    title = "" if title_element is None else title_element.text or ""
    formulas: list[str] = []
    for number, sheet in enumerate(root.iterfind("{*}Worksheet"), 1):
        builder = Builder()
        builder.page(number)
        builder.headings(attribute(sheet, "Name"))
        comments: list[str] = []
        for document in cells.documents(builder, _rows(sheet, comments, formulas)):
            yield document._replace(title=title)
        for text in comments:
            builder.paragraph(text)
        builder.note = cells.without_values(len(formulas))
        yield builder.document(title)


def _rows(sheet: _Element, comments: list[str], formulas: list[str]) -> Iterator[list[str]]:
    """Yield the texts of the cells of each row, with an empty one for a gap. comments, formulas:
    get the comments, and the formulas without a value, whose text is used instead."""
    for row in sheet.iter("{*}Row"):
        texts: list[str] = []
        for cell in row:
            if local(cell) != "Cell":
                continue
            index = attribute(cell, "Index")
            if index.isdecimal() and int(index[:6]) > len(texts) + 1:
                texts.append("")
            formula = cells.formula_text(attribute(cell, "Formula"))
            has_value = not formula
            for part in cell:
                text = one_line("".join(map(str, part.itertext())))
                if local(part) == "Comment":
                    comments.append(text)
                elif local(part) == "Data" and (text or not formula or _is_text(part)):
                    texts.append(text.removesuffix("T00:00:00.000"))
                    has_value = True
            if not has_value:
                texts.append(formula)
                formulas.append(formula)
        yield texts


def _is_text(data: _Element) -> bool:
    """Whether a value is a text, which may be empty."""
    return attribute(data, "Type") == "String"
