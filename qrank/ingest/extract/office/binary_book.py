"""XLSB: which parts are a workbook's sheets, and the comments of their cells.

The format: [MS-XLSB]. A part is records: a kind and a size, in groups of seven bits, then the data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_SHEET, _COMMENT = 156, 637


def sheets(data: bytes) -> Iterator[tuple[str, str]]:
    """(name, id of its relationship) of each sheet."""
    for kind, record in _records(data):
        if kind == _SHEET:
            identity, at = _string(record, 8)
            yield _string(record, at)[0], identity


def comments(data: bytes) -> Iterator[str]:
    """The texts of a part of comments."""
    for kind, record in _records(data):
        if kind == _COMMENT:
            yield _string(record, 1)[0]


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        kind, at = _number(data, at, 2)
        size, at = _number(data, at, 4)
        yield kind, data[at : at + size]
        at += size


def _number(data: bytes, at: int, most: int) -> tuple[int, int]:
    """(number, where the next thing is)."""
    number = 0
    for step in range(most):
        byte = data[at] if at < len(data) else 0
        number |= (byte & 0x7F) << 7 * step
        at += 1
        if byte < 0x80:
            break
    return number, at


def _string(record: bytes, at: int) -> tuple[str, int]:
    """(text, where the next thing is)."""
    try:
        [size] = struct.unpack_from("<I", record, at)
    except struct.error:
        return "", len(record)
    size = 0 if size == 0xFFFFFFFF else size
    end = at + 4 + 2 * size
    return record[at + 4 : end].decode("utf-16-le", "replace"), end
