"""Presentations of before 2007 (.ppt): slides as pages, with their titles, notes and comments.

Format: [MS-PPT]. A file is a tree of records; the persist object directory (2.3.4), read from the
last edit backwards, has the offset of the newest version of each slide.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO, NamedTuple

from qrank.errors import ExtractError
from qrank.ingest.extract.building import Builder
from qrank.ingest.extract.office import embedded
from qrank.ingest.extract.office.older.compound import Compound, embedded_file
from qrank.results import Document
from qrank.settings import Reading

_STREAM = "PowerPoint Document"
_ENCRYPTED = 0xF3D1C4DF
_EDIT, _DIRECTORY = 0x0FF5, 0x1772
_LIST, _PERSIST = 0x0FF0, 0x03F3
_KIND, _WIDE, _NARROW, _NAME = 0x0F9F, 0x0FA0, 0x0FA8, 0x0FBA
_COMMENT, _CLIENT_TEXT, _NOTES_ATOM = 0x2EE0, 0xF00D, 0x03F1
_TITLES = (0, 6)  # kinds of text
_SLIDES, _NOTES = 0, 2  # lists of the document
_OBJECT = 0x1011
_MACROS = "_VBA_PROJECT".encode("utf-16-le")
MAX_EDITS = 10_000
MAX_OBJECT = 64 << 20  # bytes of one, decompressed
_BREAKS = str.maketrans({"\r": "\n", "\v": "\n"})


class _Record(NamedTuple):
    instance: int
    kind: int
    data: bytes
    depth: int


def extract(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the document, then its members. The title is that of its properties, else of the first
    slide. Raises ExtractError."""
    compound = Compound(file)
    data = compound.read(_STREAM)
    try:
        offsets, main = _offsets(data, compound.read("Current User"))
        builder = _read(data, offsets, main)
    except struct.error as error:
        raise ExtractError("damaged, or not a presentation") from error
    title, fields = compound.properties()
    yield builder.document(title or builder.first_heading, fields)
    yield from embedded.members_in(map(embedded_file, _objects(data, offsets)), reading)


def _objects(data: bytes, offsets: dict[int, int]) -> Iterator[bytes]:
    """Yield the embedded objects, which are compound files, mostly compressed (2.10.34)."""
    for offset in sorted(offsets.values()):
        if not 0 <= offset <= len(data) - 8:
            continue
        head, kind, size = struct.unpack_from("<2HI", data, offset)
        if kind != _OBJECT:
            continue
        content = data[offset + 8 : offset + 8 + size]
        if head >> 4:
            with suppress(zlib.error):
                content = zlib.decompressobj().decompress(content[4:], MAX_OBJECT)
        if _MACROS not in content:  # macros are stored as an object, too
            yield content


def _read(data: bytes, offsets: dict[int, int], main: int) -> Builder:
    # (offset, number, texts of the outline) of each slide
    slides: list[tuple[int, int, list[tuple[int, str]]]] = []
    notes: dict[int, int] = {}  # offset of the notes, by the number of the slide
    kind = at = -1
    for record in _records(data, main):
        if record.kind == _LIST:
            at = record.instance
        elif record.kind == _PERSIST and record.data:
            identity, number = struct.unpack_from("<I8xI", record.data)
            offset = offsets.get(identity, -1)
            if at == _SLIDES:
                slides.append((offset, number, []))
            elif at == _NOTES:
                notes[_slide_of(data, offset)] = offset
        elif record.kind == _KIND and len(record.data) >= 4:
            [kind] = struct.unpack_from("<I", record.data)
        elif record.kind in (_WIDE, _NARROW) and at == _SLIDES and slides:
            slides[-1][2].append((kind, _text(record)))
    builder = Builder()
    for page, (offset, number, outline) in enumerate(slides, 1):
        builder.page(page)
        builder.headings()
        _add(builder, [*outline, *_texts(data, offset, outline)])
        if number in notes:
            _add(builder, [(-1, text) for _, text in _texts(data, notes[number], [])])
    return builder


def _slide_of(data: bytes, offset: int) -> int:
    """The number of the slide that the notes at an offset belong to."""
    for record in _records(data, offset):
        if record.kind == _NOTES_ATOM and len(record.data) >= 4:
            return int(struct.unpack_from("<I", record.data)[0])
    return -1


def _add(builder: Builder, texts: list[tuple[int, str]]) -> None:
    for kind, text in texts:
        text = text.strip()
        if text == "*":  # a placeholder of a number or a date
            continue
        if kind in _TITLES:
            builder.heading(1, text)
        else:
            builder.paragraph(text)


def _texts(data: bytes, offset: int, outline: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield (kind, text) of the comments of a slide, and of its shapes that are not in its
    outline."""
    kind = -1
    comment = -1  # depth of the current comment
    names = 0
    for record in _records(data, offset):
        if comment >= 0 and record.depth <= comment:
            comment = -1
        if record.kind == _COMMENT:
            comment, names = record.depth, 0
        elif record.kind == _NAME and comment >= 0:
            names += 1
            if names == 2:  # the text; the first is the author, the third the author's initials
                yield -1, _text(record)
        elif record.kind == _KIND and len(record.data) >= 4:
            [kind] = struct.unpack_from("<I", record.data)
        elif record.kind in (_WIDE, _NARROW):
            text = _text(record)
            if (kind, text) not in outline:
                yield kind, text


def _text(record: _Record) -> str:
    codec = "latin-1" if record.kind == _NARROW else "utf-16-le"
    return record.data.decode(codec, "replace").translate(_BREAKS)


def _offsets(data: bytes, user: bytes) -> tuple[dict[int, int], int]:
    """(the offset of the newest version of each persist object by id, that of the document)."""
    _, mark, at = struct.unpack_from("<3I", user, 8)
    if mark == _ENCRYPTED:
        raise ExtractError("encrypted")
    offsets: dict[int, int] = {}
    main = -1
    seen: set[int] = set()
    while at not in seen and len(seen) < MAX_EDITS:
        seen.add(at)
        kind, before, directory, document = struct.unpack_from("<2xH12x3I", data, at)
        if kind != _EDIT:
            break
        for identity, offset in _directory(data, directory):
            offsets.setdefault(identity, offset)  # newer edits come first
        if main < 0:
            main = offsets.get(document, -1)
        if not before:
            break
        at = before
    if main < 0:
        raise ExtractError("damaged, or not a presentation")
    return offsets, main


def _directory(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    kind, size = struct.unpack_from("<2xHI", data, at)
    end = min(at + 8 + size, len(data)) if kind == _DIRECTORY else 0
    at += 8
    while at + 4 <= end:
        [head] = struct.unpack_from("<I", data, at)
        first, count = head & 0xFFFFF, head >> 20
        at += 4
        for i in range(min(count, (end - at) // 4)):
            yield first + i, struct.unpack_from("<I", data, at + 4 * i)[0]
        at += 4 * count


def _records(data: bytes, at: int) -> Iterator[_Record]:
    """Yield the record at an offset and all records in it, in order; containers without data."""
    if not 0 <= at <= len(data) - 8:
        return
    [size] = struct.unpack_from("<I", data, at + 4)
    ends = [min(at + 8 + size, len(data))]
    head, kind, _ = struct.unpack_from("<2HI", data, at)
    at += 8
    yield _Record(head >> 4, kind, b"", 0)
    while ends:
        if at + 8 > ends[-1]:
            at = ends.pop()
            continue
        head, kind, size = struct.unpack_from("<2HI", data, at)
        at += 8
        end = min(at + size, ends[-1])
        if head & 0xF == 0xF or kind == _CLIENT_TEXT:
            yield _Record(head >> 4, kind, b"", len(ends))
            ends.append(end)
        else:
            yield _Record(head >> 4, kind, data[at:end], len(ends))
            at = end
