"""XLSB: the parts of a workbook's sheets, and comments of cells.

Format: [MS-XLSB]. A part is a sequence of records: kind and size as variable-length integers of 7
bits per byte, then the data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_SHEET, _COMMENT = 156, 637


def sheets(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield (name, relationship id) of each sheet."""
    for kind, record in _records(data):
        if kind == _SHEET:
            identity, at = _string(record, 8)
            yield _string(record, at)[0], identity


def comments(data: bytes) -> Iterator[str]:
    """Yield the texts in a part of comments."""
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
    """(a number of at most most bytes, the offset after it)."""
    number = 0
    for step in range(most):
        byte = data[at] if at < len(data) else 0
        number |= (byte & 0x7F) << 7 * step
        at += 1
        if byte < 0x80:
            break
    return number, at


def _string(record: bytes, at: int) -> tuple[str, int]:
    """(text, the offset after it)."""
    try:
        [size] = struct.unpack_from("<I", record, at)
    except struct.error:
        return "", len(record)
    size = 0 if size == 0xFFFFFFFF else size
    end = at + 4 + 2 * size
    return record[at + 4 : end].decode("utf-16-le", "replace"), end
