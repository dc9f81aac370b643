"""Compound files (OLE), which older Office files and Outlook messages are: streams in folders.

The format: [MS-CFB]; of its metadata: [MS-OLEPS].
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
_END = 0xFFFFFFFA  # numbers of sectors from here on are marks
_STORAGE, _STREAM, _ROOT = 1, 2, 5
# Streams that Office's own documents have, and the suffixes of those.
_OFFICE = {
    "WordDocument": ".doc",
    "PowerPoint Document": ".ppt",
    "Workbook": ".xls",
    "Book": ".xls",
    "__properties_version1.0": ".msg",
}
_OBJECT = re.compile(r"ObjectPool/[^/]+/|MBD[0-9A-F]+/")  # folders of objects
_SUMMARY = "\x05SummaryInformation"


class Compound:
    """The streams of a file by their paths, such as `folder/name`.

    Raises ExtractError when it is no compound file, or damaged beyond reading.
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
        self._table = self._numbers(self._table_sectors(difat))
        self._mini_table = self._numbers(self._chain(mini, self._table))
        self._streams: dict[str, tuple[int, int]] = {}
        self._mini = b""
        self._directory(b"".join(map(self._at, self._chain(first, self._table))))

    @property
    def names(self) -> list[str]:
        """The paths of all streams."""
        return [*self._streams]

    def has(self, name: str) -> bool:
        """Whether there is such a stream."""
        return name in self._streams

    def read(self, name: str) -> bytes:
        """What a stream holds, as far as it is there; nothing of one that is missing."""
        start, size = self._streams.get(name, (_END, 0))
        if size >= self._cutoff:
            pieces = map(self._at, self._chain(start, self._table))
            return b"".join(pieces)[:size]
        step = self._mini_sector
        data = self._chain(start, self._mini_table)
        return b"".join(self._mini[at * step : (at + 1) * step] for at in data)[:size]

    def properties(self) -> tuple[str, dict[str, object]]:
        """The title, and the fields: author, subject, keywords."""
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
        """Where the table of sectors lies: the first 109 parts are named in the header."""
        sectors = [*struct.unpack_from("<109I", self._data, 76)]
        seen: set[int] = set()
        while more < _END and more not in seen:
            seen.add(more)
            part = self._numbers([more])
            sectors += part[:-1]
            more = part[-1] if part else _END
        most = len(self._data) // self._sector
        return [number for number in dict.fromkeys(sectors) if number < most]

    def _chain(self, start: int, table: list[int]) -> list[int]:
        """The sectors of a stream; a chain that comes back to itself ends there."""
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
    """(name, suffix, content) of the file that an embedded object is or holds, as far as the object
    says its name or its suffix; None for other objects."""
    try:
        opened = Compound(io.BytesIO(data))
        for name, suffix in _OFFICE.items():
            if opened.has(name):
                return "", suffix, data
        return _object(opened, "")
    except (ExtractError, struct.error, ValueError):
        return None


def objects(opened: Compound) -> Iterator[tuple[str, str, bytes] | None]:
    """The objects in a document or workbook of before 2007, each as `held` has it."""
    folders = dict.fromkeys(match[0] for name in opened.names if (match := _OBJECT.match(name)))
    for folder in folders:
        yield _object(opened, folder)


def _object(opened: Compound, folder: str) -> tuple[str, str, bytes] | None:
    for name in ("Package", "CONTENTS"):
        if opened.has(folder + name):
            return "", "", opened.read(folder + name)
    return unpacked(opened.read(f"{folder}\x01Ole10Native"))


def unpacked(packed: bytes) -> tuple[str, str, bytes] | None:
    """The same of what Windows' packager makes of a file ([MS-OLEDS] 2.3.6); None for nothing and
    for what is damaged."""
    try:
        end = packed.index(b"\0", 6)
        at = packed.index(b"\0", end + 1) + 5  # after its name and its path
        [size] = struct.unpack_from("<I", packed, at)
        [length] = struct.unpack_from("<I", packed, at + 4 + size)
        start = at + 8 + size
        end_of_it = start + length
        name = _wide_name(packed, end_of_it) or packed[6:end].decode("cp1252", "replace")
        return name, "", packed[start:end_of_it]
    except (struct.error, ValueError):
        return None


def _wide_name(packed: bytes, at: int) -> str:
    """The name in Unicode, which newer programs put behind the file, after its path."""
    try:
        [size] = struct.unpack_from("<I", packed, at)
        at += 4 + 2 * size
        [size] = struct.unpack_from("<I", packed, at)
    except struct.error:
        return ""
    return packed[at + 4 : at + 4 + 2 * size].decode("utf-16-le", "replace").strip("\0")


def _summary(data: bytes) -> dict[int, str]:
    """The texts of a set of properties, by their numbers."""
    result: dict[int, str] = {}
    try:
        [offset] = struct.unpack_from("<I", data, 44)
        [count] = struct.unpack_from("<I", data, offset + 4)
        pages = {}
        places = [
            struct.unpack_from("<2I", data, offset + 8 + 8 * i) for i in range(min(count, 100))
        ]
        for number, place in sorted(places):
            kind, length = struct.unpack_from("<2I", data, offset + place)
            at = offset + place + 8
            if number == 1:
                pages[1] = length & 0xFFFF
            elif kind == 30:
                codec = "utf-16-le" if pages.get(1) == 1200 else codec_of(pages.get(1, 1252))
                result[number] = data[at : at + length].decode(codec, "replace").strip("\0")
            elif kind == 31:
                raw = data[at : at + 2 * length]
                result[number] = raw.decode("utf-16-le", "replace").strip("\0")
    except struct.error:
        pass  # (what was read of it is enough)
    return result


def codec_of(page: int) -> str:
    """The codec of a code page of Windows; cp1252 for one that there is none of."""
    import codecs

    special = {10000: "mac_roman", 65001: "utf-8", 936: "gb18030", 950: "big5hkscs", 1361: "johab"}
    special |= {932: "cp932", 20127: "cp1252", 28591: "cp1252", 20866: "koi8-r", 21866: "koi8-u"}
    special |= {28592: "iso-8859-2", 28595: "iso-8859-5", 50220: "iso-2022-jp", 51932: "euc-jp"}
    try:
        return codecs.lookup(special.get(page, f"cp{page}")).name
    except LookupError:
        return "cp1252"


def records(data: bytes, size: int, start: int = 0) -> Iterator[bytes]:
    """Stretches of the same size, the last one whole or missing."""
    for at in range(start, len(data) - size + 1, size):
        yield data[at : at + size]
