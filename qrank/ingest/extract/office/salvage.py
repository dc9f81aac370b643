"""Recovering a zip file whose central directory, at its end, is missing or damaged."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib
from typing import BinaryIO

MAX_SIZE = 64 << 20  # bytes of a file that are read
MAX_UNPACKED = 128 << 20  # bytes of all members
MAX_MEMBERS = 20_000
MAX_END = 128 << 10  # bytes after the central directory: a comment, and appended data
_STEP = 64 << 10
_HEADER = struct.Struct("<4s5HIIIHH")
_END_SIZE = 22
_MARK, _END_MARK = b"PK\3\4", b"PK\5\6"
_ENCRYPTED, _UTF_8 = 1, 1 << 11
_STORED, _DEFLATED = 0, 8


class Salvaged(zipfile.ZipFile):
    """A zip file of the recovered members. size: of the damaged file, in bytes; is_truncated:
    whether its end is missing."""

    size = 0
    is_truncated = False


def salvage(file: BinaryIO) -> Salvaged | None:
    """A new zip file of the members of a damaged one, of which the last may be truncated; None when
    there are none."""
    file.seek(0)
    data = file.read(MAX_SIZE)
    if not data.startswith(_MARK):
        return None
    out = io.BytesIO()
    left, count, at = MAX_UNPACKED, 0, 0
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about duplicate names
        while 0 <= at <= len(data) - _HEADER.size and left > 0 and count < MAX_MEMBERS:
            _, _, flags, method, _, _, _, size, _, name_size, more = _HEADER.unpack_from(data, at)
            begin = at + _HEADER.size
            raw = data[begin : begin + name_size]
            name = raw.decode("utf-8" if flags & _UTF_8 else "cp437", "replace")
            begin += name_size + more
            content, end = b"", begin
            if method == _STORED:
                content, end = data[begin : begin + min(size, left)], begin + size
            elif method == _DEFLATED and not flags & _ENCRYPTED:
                content, end = _inflated(data, begin, left)
            if content and name:
                archive.writestr(name, content)
                left -= len(content)
                count += 1
            at = data.find(_MARK, max(end, begin))
    if not count:
        return None
    salvaged = Salvaged(out)
    salvaged.size = file.seek(0, io.SEEK_END)
    salvaged.is_truncated = is_truncated(file)
    return salvaged


def is_truncated(file: BinaryIO) -> bool:
    """Whether the end of a zip file is missing."""
    file.seek(max(0, file.seek(0, io.SEEK_END) - MAX_END))
    tail = file.read()
    end = tail.rfind(_END_MARK)
    return end < 0 or end + _END_SIZE > len(tail)


def _inflated(data: bytes, at: int, most: int) -> tuple[bytes, int]:
    """(the decompressed data up to the first error, or most bytes; the offset of its end)."""
    unpacker = zlib.decompressobj(-15)
    pieces: list[bytes] = []
    size = 0
    try:
        while at < len(data) and not unpacker.eof and size <= most:
            step = unpacker.decompress(data[at : at + _STEP], most - size + 1)
            at += _STEP
            pieces.append(step)
            size += len(step)
    except zlib.error:
        at -= _STEP - 1  # search for the next member from the last step on
    return b"".join(pieces)[:most], min(at, len(data)) - len(unpacker.unused_data)
