"""Reading the cells of an XLSX sheet from its XML: for sheets with a cell far away from the others,
where calamine would allocate all cells between, and for damaged ones.

Format: ECMA-376, part 1, chapter 18 (SpreadsheetML).
"""

from __future__ import annotations

import datetime
import re
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from qrank.errors import ExtractError
from qrank.ingest.extract.building import one_line
from qrank.ingest.extract.office.cells import cell_text, formula_text
from qrank.ingest.extract.office.package import Package, attribute, child, local

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_TABLE = 2_000_000  # cells of a table that calamine reads in any case
MAX_EMPTY = 50  # empty cells per non-empty one, for larger tables
WINDOW = 1 << 20  # bytes
TAIL = 64 << 10  # bytes at the end of a sheet, with the page header
# References to rows, and to columns beyond Z: in the usual form, and in any valid form.
_USUAL = (re.compile(rb'<row r="(\d{1,7})"'), re.compile(rb'<c r="([A-Z]{2,3})\d'))
_ANY = (
    re.compile(rb"<(?:\w+:)?row\b[^>]*?\br=[\"'](\d{1,7})[\"']"),
    re.compile(rb"\br=[\"']([A-Z]{2,3})\d"),
)
# A formula without a stored value.
_NO_VALUE = re.compile(
    rb"</(?:\w+:)?f>\s*(?:</(?:\w+:)?c>|<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)"
)
_OF_TEXT = re.compile(rb"\bt=[\"']str[\"']")
_REFERENCE = re.compile(r"([A-Z]{1,3})\d+")
# Number formats of dates: by number, and by their letters (outside quotes and brackets).
_DATES = frozenset([*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)])
_NO_LETTERS = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.|_.|\*.')
_EPOCHS = (datetime.datetime(1899, 12, 30), datetime.datetime(1904, 1, 1))


def look(package: Package, name: str) -> tuple[bool, bytes]:
    """(whether a sheet is mostly empty, or has formulas without values; the last TAIL bytes of its
    XML). Raises ExtractError."""
    cells = last_row = 0
    columns: set[bytes] = {b"Z"}
    tail = b""
    has_values = True
    row, column = _ANY
    try:
        with package.open(name) as file:
            while window := file.read(WINDOW):
                if not tail and b'<row r="' in window and b'<c r="' in window:
                    row, column = _USUAL
                cells += window.count(b"<c ") + window.count(b":c ")
                window = tail[-64:] + window  # for matches across two windows
                last_row = max(last_row, *map(int, row.findall(window)), 0)
                columns.update(column.findall(window))
                has_values = has_values and not _lacks_value(window)
                tail = window[-TAIL:]
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as error:
        raise ExtractError(f"{name} in it is damaged") from error
    table = last_row * max(_column(each.decode()) for each in columns)
    return table > MAX_TABLE + MAX_EMPTY * cells or not has_values, tail


def _lacks_value(xml: bytes) -> bool:
    """Whether there is a formula without a value; an empty text is a value."""
    if b"f>" not in xml:
        return False
    for match in _NO_VALUE.finditer(xml):
        cell = max(xml.rfind(b"<c ", 0, match.start()), xml.rfind(b":c ", 0, match.start()))
        if not _OF_TEXT.search(xml, cell, xml.find(b">", cell)):
            return True
    return False


class Sheets:
    """Reads sheets from their XML; shared strings and styles are read with the first one."""

    def __init__(self, package: Package, workbook: _Element, strings: str, styles: str) -> None:
        self._package = package
        flag = attribute(child(workbook, "workbookPr"), "date1904")
        self._epoch = _EPOCHS[flag in ("1", "true")]
        self._names = (strings, styles)
        self._strings: list[str] | None = None
        self._dates: list[bool] = []
        self.formulas = 0  # without a value, in the rows read so far

    def rows(self, name: str) -> Iterator[list[str]]:
        """Yield the rows of a sheet: the texts of their cells, with an empty one for a gap. Raises
        ExtractError."""
        from lxml import etree

        if self._strings is None:
            self._strings = [*self._shared()]
            self._dates = [*self._formats()]
        try:
            with self._package.open(name) as file:
                for _, row in etree.iterparse(
                    file, tag="{*}row", recover=True, resolve_entities=False, no_network=True
                ):
                    yield self._row(row)
                    row.clear()
                    parent = row.getparent()
                    while parent is not None and row.getprevious() is not None:
                        del parent[0]
        except (
            *(BadZipFile, zlib.error, EOFError, NotImplementedError, OSError),
            *(etree.XMLSyntaxError, ValueError),
        ) as error:
            raise ExtractError(f"{name} in it is damaged") from error

    def _row(self, row: _Element) -> list[str]:
        texts: list[str] = []
        last = 0
        for cell in row:
            if local(cell) != "c":
                continue
            text = self._cell(cell)
            match = _REFERENCE.fullmatch(cell.get("r", ""))
            column = _column(match[1]) if match else last + 1
            if text:
                texts += [""] * min(max(0, column - last - 1), 1) + [text]
                last = column
            elif not match:
                last = column
        return texts

    def _cell(self, cell: _Element) -> str:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            return _rich(child(cell, "is"))
        value = child(cell, "v")
        text = "" if value is None else value.text or ""
        formula = None if text or kind == "str" else child(cell, "f")
        if formula is not None:
            self.formulas += 1
            return formula_text(formula.text or "")
        if kind == "s" and self._strings is not None:
            at = int(text) if text.isdecimal() and len(text) < 9 else -1
            return self._strings[at] if 0 <= at < len(self._strings) else ""
        if kind == "b":
            return cell_text(text == "1") if text else ""
        if kind != "n":
            return one_line(text)
        try:
            number = float(text)
        except ValueError:
            return one_line(text)
        style = cell.get("s", "0")
        at = int(style) if style.isdecimal() and len(style) < 9 else 0
        if at < len(self._dates) and self._dates[at]:
            return self._date(number)
        return cell_text(number)

    def _date(self, number: float) -> str:
        try:
            moment = self._epoch + datetime.timedelta(seconds=round(number * 86400))
        except (OverflowError, ValueError):
            return cell_text(number)
        return str(moment.time()) if 0 <= number < 1 else cell_text(moment)

    def _shared(self) -> Iterator[str]:
        root = self._package.xml(self._names[0])
        for each in () if root is None else root:
            if local(each) == "si":
                yield _rich(each)

    def _formats(self) -> Iterator[bool]:
        """For each style, whether its numbers are dates."""
        root = self._package.xml(self._names[1])
        own = (
            {}
            if root is None
            else {
                attribute(each, "numFmtId"): _is_date(attribute(each, "formatCode"))
                for each in root.iter("{*}numFmt")
            }
        )
        styles = child(root, "cellXfs")
        for each in () if styles is None else styles:
            number = attribute(each, "numFmtId")
            yield own.get(number, number.isdecimal() and int(number[:9]) in _DATES)


def _is_date(code: str) -> bool:
    """Whether a number format is of dates.

    >>> [_is_date(code) for code in ('d.m.yy', '[Red]0.00" m"', '[h]:mm', '@')]
    [True, False, True, False]
    """
    return any(letter in "dmyhs" for letter in _NO_LETTERS.sub("", code.lower()))


def _rich(element: _Element | None) -> str:
    """The text of a string that may have several runs, without phonetic text (ruby)."""
    pieces = []
    for each in () if element is None else element:
        if local(each) == "t":
            pieces.append(each.text or "")
        elif local(each) == "r":
            pieces += [part.text or "" for part in each if local(part) == "t"]
    return one_line("".join(pieces))


def _column(letters: str) -> int:
    """The number of a column by its letters, from 1.

    >>> _column("A"), _column("Z"), _column("AA"), _column("XFD")
    (1, 26, 27, 16384)
    """
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number
