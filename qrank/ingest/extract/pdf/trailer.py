"""Truncated PDFs, without the cross-reference table at the end: pdfium searches for the objects
itself, if there is a trailer that names the document catalog. If the catalog is missing, too, one
is made with all pages."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO

END = 2048  # bytes at the end of a file that are searched for the end marker
MAX_CATALOG = 4096  # bytes of the document catalog
MAX_PAGES = 100_000
MAX_UNPACKED = 64 << 20  # bytes of all decompressed object streams
_OBJECT = re.compile(rb"(?<!\d)(\d{1,10})\s+(\d{1,5})\s+obj\b")
_CATALOG = re.compile(rb"/Type\s*/Catalog\b")
_PAGE = re.compile(rb"/Type\s*/Page\b(?!s)")
_PACKED = re.compile(rb"/Type\s*/ObjStm\b")
_ENCRYPTED = re.compile(rb"/Filter\s*/Standard\b")
_LENGTH = re.compile(rb"/Linearized\b[^>]{0,200}?/L\s+(\d{1,12})\b")
_STREAM = re.compile(rb"stream\r?\n")


def is_truncated(data: bytes) -> bool:
    """Whether a file is a PDF without its end: shorter than its linearization dictionary says, or
    without an end marker after the last object."""
    if b"%PDF-" not in data[:1024]:
        return False
    length = _LENGTH.search(data, 0, END)
    if length and int(length[1]) > len(data):
        return True
    end = data.rfind(b"%%EOF")
    return end < 0 or bool(_OBJECT.search(data, end))


def ends_early(file: BinaryIO) -> bool:
    """`is_truncated` for a file that could be opened; it is only read completely if needed."""
    file.seek(0)
    head = file.read(END)
    size = file.seek(0, io.SEEK_END)
    length = _LENGTH.search(head)
    if length and int(length[1]) > size:
        return True
    file.seek(max(0, size - END))
    tail = file.read()
    if (end := tail.rfind(b"%%EOF")) >= 0:
        return bool(_OBJECT.search(tail, end))
    file.seek(0)
    return is_truncated(file.read())


def with_trailer(data: bytes) -> bytes | None:
    """The PDF with a trailer added; None when there is no document catalog, or it is encrypted, as
    the parameters of that are in the lost trailer."""
    if _ENCRYPTED.search(data):
        return None
    data = b"\n".join([data, b"endobj", *_packed_objects(data), b""])
    root = None
    for catalog in _CATALOG.finditer(data):
        root = _number(data, catalog) or root
    return data + _trailer(*root) if root else None


def with_pages(data: bytes) -> bytes | None:
    """The PDF with a document catalog of its pages, in the order of the file. None when it has no
    pages, or is encrypted."""
    if _ENCRYPTED.search(data):
        return None
    data = b"\n".join([data, b"endobj", *_packed_objects(data), b""])
    pages: dict[tuple[bytes, bytes], None] = {}
    for match in _PAGE.finditer(data):
        if (page := _number(data, match)) and len(pages) < MAX_PAGES:
            pages[page] = None
    if not pages:
        return None
    free = max(int(match[1]) for match in _OBJECT.finditer(data)) + 1
    kids = b" ".join(b"%b %b R" % page for page in pages)
    objects = b"%d 0 obj\n<</Type/Pages/Count %d/Kids[%b]>>\nendobj\n" % (free, len(pages), kids)
    objects += b"%d 0 obj\n<</Type/Catalog/Pages %d 0 R>>\nendobj\n" % (free + 1, free)
    return data + objects + _trailer(b"%d" % (free + 1), b"0")


def _trailer(number: bytes, generation: bytes) -> bytes:
    return b"trailer\n<</Root %b %b R>>\nstartxref\n0\n%%%%EOF\n" % (number, generation)


def _number(data: bytes, match: re.Match[bytes]) -> tuple[bytes, bytes] | None:
    """The number and the generation of the object that a match is in."""
    start = max(0, match.start() - MAX_CATALOG)
    end = data.rfind(b"endobj", start, match.start())
    objects = [*_OBJECT.finditer(data, max(start, end), match.start())]
    return (objects[-1][1], objects[-1][2]) if objects else None


def _packed_objects(data: bytes) -> Iterator[bytes]:
    """The objects in object streams (ISO 32000-1, 7.5.7), uncompressed: pdfium only finds them by
    the table at the end of the file."""
    left = MAX_UNPACKED
    for stream_type in _PACKED.finditer(data):
        begin = data.rfind(b"obj", max(0, stream_type.start() - MAX_CATALOG), stream_type.start())
        stream = _STREAM.search(data, stream_type.end(), stream_type.end() + MAX_CATALOG)
        if begin < 0 or stream is None or left <= 0:
            continue
        entries = data[begin : stream.start()]
        count, first = (re.search(rb"/%b\s+(\d{1,9})" % name, entries) for name in (b"N", b"First"))
        if count is None or first is None or b"/FlateDecode" not in entries:
            continue
        content = _decompressed(data[stream.end() : data.find(b"endstream", stream.end())], left)
        left -= len(content)
        start = int(first[1])
        places = [int(each) for each in content[:start].split() if each.isdigit()]
        numbers, offsets = places[::2], [*places[1::2], len(content) - start]
        for number, at, end in zip(numbers, offsets, offsets[1:], strict=False):
            yield b"%d 0 obj\n%b\nendobj" % (number, content[start + at : start + end])


def _decompressed(data: bytes, most: int) -> bytes:
    """The decompressed data up to the first error, or about most bytes."""
    unpacker = zlib.decompressobj()
    pieces = []
    try:
        for at in range(0, len(data), 4096):
            pieces.append(unpacker.decompress(data[at : at + 4096], most))
            most -= len(pieces[-1])
            if most <= 0:
                break
    except zlib.error:
        pass
    return b"".join(pieces)
