"""Compound files (OLE), the container of older Office files and Outlook messages: streams in
folders.

Formats: [MS-CFB]; [MS-OLEPS] for metadata.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract.building import properties

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MAX_SIZE = 512 << 20  # bytes
_END = 0xFFFFFFFA  # from here on, sector numbers are special values
_FREE = 0xFFFFFFFF
_STORAGE, _STREAM, _ROOT = 1, 2, 5
# Suffixes of Office documents, by a stream that they have.
_OFFICE = {
    "WordDocument": ".doc",
    "PowerPoint Document": ".ppt",
    "Workbook": ".xls",
    "Book": ".xls",
    "__properties_version1.0": ".msg",
}
_OBJECT = re.compile(r"ObjectPool/[^/]+/|MBD[0-9A-F]+/")  # folders of embedded objects
_SUMMARY = "\x05SummaryInformation"


class Compound:
    """The streams of a file, by path (`folder/name`); its size, and whether it is truncated.

    Raises ExtractError when it is not a compound file, or its header is damaged.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._data = file.read(MAX_SIZE)
        if len(self._data) < 512 or not self._data.startswith(MAGIC):
            raise ExtractError("damaged, or not what its extension says")
        shift, mini_shift = struct.unpack_from("<HH", self._data, 30)
        if shift not in (9, 12) or mini_shift > shift:
            raise ExtractError("damaged")
        self._sector, self._mini_sector = 1 << shift, 1 << mini_shift
        first, self._cutoff = struct.unpack_from("<I4xI", self._data, 48)
        mini, _, difat, _ = struct.unpack_from("<4I", self._data, 60)
        sectors = self._table_sectors(difat)
        count = len(self._data) // self._sector
        self._table = self._numbers([number for number in sectors if number < count])
        used = (at for at, next_ in enumerate(self._table) if next_ not in (0, _FREE))
        last = max([*used, *(number for number in sectors if number < _END)], default=0)
        self.is_truncated = (last + 1) * self._sector >= len(self._data)
        self.size = len(self._data)
        self._mini_table = self._numbers(self._chain(mini, self._table))
        self._streams: dict[str, tuple[int, int]] = {}
        self._mini = b""
        self._directory(b"".join(map(self._at, self._chain(first, self._table))))

    @property
    def names(self) -> list[str]:
        """The paths of all streams."""
        return [*self._streams]

    def has(self, name: str) -> bool:
        """Whether there is a stream of this path."""
        return name in self._streams

    def read(self, name: str) -> bytes:
        """The content of a stream, truncated if sectors are missing; empty without the stream."""
        start, size = self._streams.get(name, (_END, 0))
        if size >= self._cutoff:
            pieces = map(self._at, self._chain(start, self._table))
            return b"".join(pieces)[:size]
        step = self._mini_sector
        data = self._chain(start, self._mini_table)
        return b"".join(self._mini[at * step : (at + 1) * step] for at in data)[:size]

    def properties(self) -> tuple[str, dict[str, object]]:
        """(title, fields); fields: author, subject, keywords."""
        values = _summary(self.read(_SUMMARY))
        fields = properties(values.get(4, ""), values.get(3, ""), values.get(5, ""))
        return values.get(2, ""), fields

    def _at(self, number: int) -> bytes:
        start = (number + 1) * self._sector
        return self._data[start : start + self._sector]

    def _numbers(self, sectors: list[int]) -> list[int]:
        data = b"".join(map(self._at, sectors))
        return [*struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])]

    def _table_sectors(self, more: int) -> list[int]:
        """The sectors of the allocation table (FAT): 109 in the header, the others in a chain of
        sectors from more on (DIFAT)."""
        sectors = [*struct.unpack_from("<109I", self._data, 76)]
        seen: set[int] = set()
        while more < _END and more not in seen:
            seen.add(more)
            part = self._numbers([more])
            sectors += part[:-1]
            more = part[-1] if part else _END
        return [*dict.fromkeys(sectors)]

    def _chain(self, start: int, table: list[int]) -> list[int]:
        """The sectors of a stream; a cycle ends the chain."""
        chain: dict[int, None] = {}
        while start < len(table) and start not in chain:
            chain[start] = None
            start = table[start]
        return [*chain]

    def _directory(self, data: bytes) -> None:
        count = len(data) // 128
        pending = [(0, "")]
        seen: set[int] = set()
        while pending:
            number, folder = pending.pop()
            if number >= count or number in seen:
                continue
            seen.add(number)
            entry = data[number * 128 : number * 128 + 128]
            length, kind = struct.unpack_from("<HB", entry, 64)
            left, right, child = struct.unpack_from("<3I", entry, 68)
            start, size = struct.unpack_from("<IQ", entry, 116)
            size = size if self._sector == 4096 else size & 0xFFFFFFFF
            name = entry[: max(0, min(length, 64) - 2)].decode("utf-16-le", "replace")
            if kind == _ROOT:
                self._mini = b"".join(map(self._at, self._chain(start, self._table)))[:size]
                pending.append((child, ""))
                continue
            pending += [(left, folder), (right, folder)]
            if kind == _STORAGE:
                pending.append((child, f"{folder}{name}/"))
            elif kind == _STREAM:
                self._streams[folder + name] = (start, size)


def embedded_file(data: bytes) -> tuple[str, str, bytes] | None:
    """(name, suffix, content) of the file in an embedded object; name and suffix are empty where
    unknown. None for objects that are not files."""
    try:
        compound = Compound(io.BytesIO(data))
        for name, suffix in _OFFICE.items():
            if compound.has(name):
                return "", suffix, data
        return _object(compound, "")
    except (ExtractError, struct.error, ValueError):
        return None


def objects(compound: Compound) -> Iterator[tuple[str, str, bytes] | None]:
    """Yield the embedded objects of an Office file of before 2007, in the form of
    `embedded_file`."""
    folders = dict.fromkeys(match[0] for name in compound.names if (match := _OBJECT.match(name)))
    for folder in folders:
        yield _object(compound, folder)


def _object(compound: Compound, folder: str) -> tuple[str, str, bytes] | None:
    for name in ("Package", "CONTENTS"):
        if compound.has(folder + name):
            return "", "", compound.read(folder + name)
    return unpacked(compound.read(f"{folder}\x01Ole10Native"))


def unpacked(packed: bytes) -> tuple[str, str, bytes] | None:
    """The file in a package of Windows' Object Packager ([MS-OLEDS] 2.3.6), in the form of
    `embedded_file`; None when it is empty or damaged."""
    try:
        end = packed.index(b"\0", 6)
        at = packed.index(b"\0", end + 1) + 5  # after name and path
        [size] = struct.unpack_from("<I", packed, at)
        [length] = struct.unpack_from("<I", packed, at + 4 + size)
        start = at + 8 + size
        stop = start + length
        name = _wide_name(packed, stop) or packed[6:end].decode("cp1252", "replace")
        return name, "", packed[start:stop]
    except (struct.error, ValueError):
        return None


def _wide_name(packed: bytes, at: int) -> str:
    """The name in Unicode, which newer programs write after the file and its path; else ""."""
    try:
        [size] = struct.unpack_from("<I", packed, at)
        at += 4 + 2 * size
        [size] = struct.unpack_from("<I", packed, at)
    except struct.error:
        return ""
    return packed[at + 4 : at + 4 + 2 * size].decode("utf-16-le", "replace").strip("\0")


def _summary(data: bytes) -> dict[int, str]:
    """The text properties of a property set, by property id."""
    result: dict[int, str] = {}
    try:
        [offset] = struct.unpack_from("<I", data, 44)
        [count] = struct.unpack_from("<I", data, offset + 4)
        pages = {}
        offsets = [
            struct.unpack_from("<2I", data, offset + 8 + 8 * i) for i in range(min(count, 100))
        ]
        for number, relative in sorted(offsets):
            kind, length = struct.unpack_from("<2I", data, offset + relative)
            at = offset + relative + 8
            if number == 1:
                pages[1] = length & 0xFFFF
            elif kind == 30:
                codec = "utf-16-le" if pages.get(1) == 1200 else codec_of(pages.get(1, 1252))
                result[number] = data[at : at + length].decode(codec, "replace").strip("\0")
            elif kind == 31:
                raw = data[at : at + 2 * length]
                result[number] = raw.decode("utf-16-le", "replace").strip("\0")
    except struct.error:
        pass  # return the properties read so far
    return result


def codec_of(page: int) -> str:
    """The codec of a Windows code page; cp1252 for an unknown one."""
    import codecs

    special = {10000: "mac_roman", 65001: "utf-8", 936: "gb18030", 950: "big5hkscs", 1361: "johab"}
    special |= {932: "cp932", 20127: "cp1252", 28591: "cp1252", 20866: "koi8-r", 21866: "koi8-u"}
    special |= {28592: "iso-8859-2", 28595: "iso-8859-5", 50220: "iso-2022-jp", 51932: "euc-jp"}
    try:
        return codecs.lookup(special.get(page, f"cp{page}")).name
    except LookupError:
        return "cp1252"


def records(data: bytes, size: int, start: int = 0) -> Iterator[bytes]:
    """Yield consecutive records of size bytes; an incomplete last one is skipped."""
    for at in range(start, len(data) - size + 1, size):
        yield data[at : at + size]
