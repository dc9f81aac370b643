"""Converting cells to text, and reading the sheets of a workbook (python-calamine)."""

from __future__ import annotations

import datetime
import io
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract.building import Builder, one_line
from qrank.ingest.extract.office.older.compound import MAGIC, Compound
from qrank.results import Document

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

SECTOR = 4096  # bytes, at most
ROWS_A_PART = 10_000  # of one document that is yielded
_EMPTY = " | " * 6
_GAP = re.compile(r"(?: \| ){6,}")  # of empty cells
# Codes in page headers: for three columns; for fonts, sizes, colours, page numbers and the like.
_COLUMN = re.compile(r"&[LCR]")
_CODE = re.compile(r'&"[^"]*"|&K(?:[0-9A-Fa-f]{6}|\d\d[+-]\d{3})|&\d+|&[A-Z]')
_GRAMMAR = re.compile(r"\A(?:\w+:)?=")  # the prefix of a formula in OpenDocument
_FUNCTION_PREFIX = re.compile(r"\b_xl(?:fn|ws|udf|pm)\.")  # of functions newer than the format
_text = lru_cache(10_000)(one_line)  # many cells have equal texts


def workbook(file: BinaryIO) -> CalamineWorkbook:
    """Open a workbook with calamine. Raises ExtractError."""
    import python_calamine

    file.seek(0)
    try:
        return python_calamine.load_workbook(_whole_sectors(file))
    except python_calamine.PasswordError as error:
        raise ExtractError("encrypted") from error
    except (python_calamine.CalamineError, ValueError, OSError) as error:
        raise ExtractError("damaged, or not a spreadsheet") from error


def _whole_sectors(file: BinaryIO) -> BinaryIO:
    """The file; a compound file padded to whole sectors, as calamine panics otherwise."""
    head = file.read(len(MAGIC))
    file.seek(0)
    if head != MAGIC:
        return file
    data = file.read()
    return io.BytesIO(data + bytes(-len(data) % SECTOR))


def has_password(file: BinaryIO) -> bool:
    """Whether an XLS workbook is encrypted: its second record is FilePass, [MS-XLS] 2.4.117.
    (calamine reports it as damaged, or finds no sheets.)"""
    file.seek(0)
    try:
        book = Compound(file).read("Workbook")
        (size,) = struct.unpack_from("<2xH", book)
        (second,) = struct.unpack_from("<H", book, 4 + size)
    except (ExtractError, struct.error):
        return False
    return bool(second == 0x2F)


def rows(book: CalamineWorkbook, name: str) -> Iterator[list[str]]:
    """The rows of a sheet, a text a cell. Raises ExtractError."""
    import python_calamine

    try:
        for row in book.get_sheet_by_name(name).iter_rows():
            yield [cell_text(cell) for cell in row]
    except (python_calamine.CalamineError, ValueError, OSError) as error:
        raise ExtractError("damaged") from error


def documents(builder: Builder, rows: Iterable[list[str]]) -> Iterator[Document]:
    """Add rows to a builder, each as a paragraph with its cells separated by |; yields a document
    after each ROWS_A_PART rows."""
    for count, row in enumerate(rows, 1):
        line = " | ".join(row).rstrip(" |")
        if line:
            builder.paragraph(_GAP.sub(" |  | ", line) if _EMPTY in line else line)
        if count % ROWS_A_PART == 0:
            yield builder.document()
            builder.restart()


def every_sheet(
    book: CalamineWorkbook, beside: Callable[[str, Builder], None] | None = None
) -> Iterator[Document]:
    """Yield the sheets of a workbook, long ones in parts; damaged ones are noted. beside(name,
    builder): adds the other texts of a sheet."""
    for number, name in enumerate(book.sheet_names, 1):
        builder = Builder()
        builder.page(number)
        builder.headings(name)
        try:
            yield from documents(builder, rows(book, name))
        except ExtractError:
            builder.note = f"sheet {name} (damaged)"
        if beside is not None:
            beside(name, builder)
        yield builder.document()


def cell_text(cell: object) -> str:
    """The text of a cell: whole numbers without a decimal point, dates in ISO form.

    >>> [cell_text(cell) for cell in (40.0, datetime.datetime(2024, 5, 2), 0.1 + 0.2, True)]
    ['40', '2024-05-02', '0.3', 'TRUE']
    """
    kind = type(cell)  # comparing types is a third faster than isinstance, and cells are many
    if kind is str:
        return _text(cell)
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else f"{cell:.15g}"
    if isinstance(cell, datetime.datetime):
        midnight = not (cell.hour or cell.minute or cell.second or cell.microsecond)
        return str(cell)[:10] if midnight else str(cell)
    if kind is bool:
        return "TRUE" if cell else "FALSE"
    return one_line(str(cell))


def formula_text(text: str) -> str:
    """A formula as a spreadsheet program displays it.

    >>> formula_text("_xlfn.CONCAT(A1, 2)"), formula_text("of:=SUM([.A1:.B2])")
    ('=CONCAT(A1, 2)', '=SUM([.A1:.B2])')
    """
    text = one_line(_FUNCTION_PREFIX.sub("", _GRAMMAR.sub("", text, count=1)))
    return f"={text}" if text else ""


def without_values(count: int, *, are_read: bool = True) -> str:
    """The note on formulas whose values were not saved; are_read: whether their text is indexed
    instead."""
    if not count:
        return ""
    what = (
        f"formula{'s' * (count > 1)} without {'stored values' if count > 1 else 'a stored value'}"
    )
    read = ", read as written" * are_read
    return f"{count} {what}{read} (a spreadsheet program adds them when it saves the file)"


def page_header(text: str) -> str:
    """The text of a page header, without codes.

    >>> page_header('&L&"Arial,Bold"Case &14ZQ-4711&CA && B&RPage &P')
    'Case ZQ-4711 A & B Page'
    """
    texts = [
        _CODE.sub("", part) for part in _COLUMN.sub("\0", text.replace("&&", "\1")).split("\0")
    ]
    return one_line(" ".join(texts).replace("\1", "&"))
