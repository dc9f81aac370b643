"""Texts outside the cells of a workbook of before 2007: comments, text boxes, buttons, charts and
page headers.

The format: [MS-XLS]. A workbook is records, one after the other: a list of sheets first, then each
sheet between a first and a last record; a chart in a sheet has such, too.
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
_EMPTY = b"\3"  # the value of a formula whose text is empty: [MS-XLS] 2.5.133
MAX_SHEETS = 10_000


class _Record(NamedTuple):
    kind: int
    data: bytes


def beside(opened: Compound) -> dict[str, list[str]]:
    """The texts beside the cells, by the names of the sheets."""
    book = opened.read("Workbook")
    result: dict[str, list[str]] = {}
    heads: set[str] = set()  # of all sheets, which are mostly alike
    places = []
    for record in _records(book, 0):
        if record.kind == _SHEET and len(record.data) > 8:
            [place] = struct.unpack_from("<I", record.data)
            places.append((_string(record.data[6:]), place))
    for name, place in places[:MAX_SHEETS]:
        result[name] = [text for text in _texts(book, place, heads) if text.strip()]
    return result


def formulas_without_values(opened: Compound) -> int:
    """How many formulas a program wrote without their values, as texts that are empty: all of them,
    or none."""
    book = opened.read("Workbook")
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


def _texts(book: bytes, place: int, heads: set[str]) -> Iterator[str]:
    """The texts beside the cells of a sheet; what follows the record of a shape's are its pieces.

    heads: the page headers that were read already.
    """
    left = 0  # characters
    pieces: list[str] = []
    for record in _records(book, place):
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
        elif record.kind in _HEADERS and len(record.data) > 3:  # (its length takes two bytes)
            head = cells.page_header(_string(record.data[:1] + record.data[2:]))
            if head not in heads:
                heads.add(head)
                yield head
        elif record.kind == _TEXT and len(record.data) >= 12:
            [left] = struct.unpack_from("<H", record.data, 10)
    if pieces:
        yield "".join(pieces)


def _records(book: bytes, place: int) -> Iterator[_Record]:
    """The records from a place on, to the end of what begins there."""
    depth = 0
    while place + 4 <= len(book):
        kind, size = struct.unpack_from("<HH", book, place)
        depth += (kind == _BEGIN) - (kind == _END)
        if depth <= 0:
            return
        yield _Record(kind, book[place + 4 : place + 4 + size])
        place += 4 + size


def _string(data: bytes) -> str:
    """A short text with its length before it."""
    size, wide = data[0], data[1] & 1
    codec = "utf-16-le" if wide else "latin-1"
    return data[2 : 2 + size * (1 + wide)].decode(codec, "replace")
