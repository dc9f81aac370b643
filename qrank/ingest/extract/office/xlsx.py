"""Spreadsheets (XLSX, XLS, XLSB, ODS): a sheet is a page, a row a line (python-calamine)."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract.archive import open_zip
from qrank.ingest.extract.building import Builder, one_line
from qrank.results import Document

ROWS_A_PART = 10_000  # what is handed on at once


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the sheets, long ones in stretches; each row is a paragraph of the sheet's, its cells
    apart by a bar. Raises ExtractError for what is no spreadsheet."""
    import python_calamine

    if zipfile.is_zipfile(file):
        open_zip(file)
    file.seek(0)
    try:
        book = python_calamine.load_workbook(file)
        for number, name in enumerate(book.sheet_names, 1):
            builder = Builder()
            builder.page(number)
            builder.headings(name)
            for count, row in enumerate(book.get_sheet_by_name(name).iter_rows(), 1):
                cells = [_shown(cell) for cell in row]
                if any(cells):
                    builder.paragraph(" | ".join(cells).rstrip(" |"))
                if count % ROWS_A_PART == 0:
                    yield builder.document()
                    builder = Builder()
                    builder.page(number)
                    builder.headings(name)
            yield builder.document()
    except (python_calamine.CalamineError, ValueError, OSError) as error:
        raise ExtractError("damaged, encrypted, or no spreadsheet") from error


def _shown(cell: object) -> str:
    """A cell as a sheet shows it: whole numbers without a point, dates in ISO form."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, datetime.datetime) and cell.time() == datetime.time():
        return cell.date().isoformat()
    return one_line(str(cell))
