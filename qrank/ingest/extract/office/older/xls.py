"""Texts outside the cells of an XLS workbook: comments, text boxes, buttons, charts, page headers.

Format: [MS-XLS]. A workbook is a sequence of records: first a list of the sheets, then each sheet
between a BOF and an EOF record; so are charts within sheets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from qrank.ingest.extract.office import cells
from qrank.ingest.extract.office.older.compound import Compound

_BEGIN, _END, _SHEET = 0x0809, 0x000A, 0x0085
_TEXT, _CONTINUED, _CHART_TEXT, _HEADERS = 0x01B6, 0x003C, 0x100D, (0x0014, 0x0015)
_FORMULA = 0x0006
_EMPTY = b"\3"  # the value of a formula with an empty text: [MS-XLS] 2.5.133
MAX_SHEETS = 10_000


class _Record(NamedTuple):
    kind: int
    data: bytes


def beside(compound: Compound) -> dict[str, list[str]]:
    """The texts outside the cells, by the name of the sheet."""
    book = compound.read("Workbook")
    result: dict[str, list[str]] = {}
    heads: set[str] = set()  # page headers, which most sheets repeat
    sheets = []
    for record in _records(book, 0):
        if record.kind == _SHEET and len(record.data) > 8:
            [offset] = struct.unpack_from("<I", record.data)
            sheets.append((_string(record.data[6:]), offset))
    for name, offset in sheets[:MAX_SHEETS]:
        result[name] = [text for text in _texts(book, offset, heads) if text.strip()]
    return result


def formulas_without_values(compound: Compound) -> int:
    """The number of formulas if all of them have an empty text as value, as in files of programs
    that do not store values; else 0."""
    book = compound.read("Workbook")
    at = count = 0
    while at + 4 <= len(book):
        kind, size = struct.unpack_from("<HH", book, at)
        if kind == _FORMULA and size >= 14:
            value = book[at + 10 : at + 18]
            if value[:1] != _EMPTY or value[6:] != b"\xff\xff":
                return 0
            count += 1
        at += 4 + size
    return count


def _texts(book: bytes, offset: int, heads: set[str]) -> Iterator[str]:
    """Yield the texts outside the cells of a sheet. heads: page headers that were read already,
    which are skipped; updated.

    The text of a shape is in the Continue records after its TxO record.
    """
    left = 0  # characters of the current text in the following records
    pieces: list[str] = []
    for record in _records(book, offset):
        if record.kind == _CONTINUED and left:
            wide = bool(record.data[:1] == b"\1")
            raw = record.data[1 : 1 + left * (1 + wide)]
            pieces.append(raw.decode("utf-16-le" if wide else "latin-1", "replace"))
            left = max(0, left - len(raw) // (1 + wide)) if raw else 0
            continue
        if pieces:
            yield "".join(pieces)
        pieces, left = [], 0
        if record.kind == _CHART_TEXT and len(record.data) > 3:
            yield _string(record.data[2:])
        elif record.kind in _HEADERS and len(record.data) > 3:  # with a length of two bytes
            head = cells.page_header(_string(record.data[:1] + record.data[2:]))
            if head not in heads:
                heads.add(head)
                yield head
        elif record.kind == _TEXT and len(record.data) >= 12:
            [left] = struct.unpack_from("<H", record.data, 10)
    if pieces:
        yield "".join(pieces)


def _records(book: bytes, offset: int) -> Iterator[_Record]:
    """Yield the records from a BOF record to its EOF record."""
    depth = 0
    while offset + 4 <= len(book):
        kind, size = struct.unpack_from("<HH", book, offset)
        depth += (kind == _BEGIN) - (kind == _END)
        if depth <= 0:
            return
        yield _Record(kind, book[offset + 4 : offset + 4 + size])
        offset += 4 + size


def _string(data: bytes) -> str:
    """A text after its length (one byte) and flags."""
    size, wide = data[0], data[1] & 1
    codec = "utf-16-le" if wide else "latin-1"
    return data[2 : 2 + size * (1 + wide)].decode(codec, "replace")
