"""Word documents of before 2007 (.doc): text with headings and tables, notes, page headers.

Format: [MS-DOC]. The text is stored in pieces (2.8.35), in this order: body, footnotes, page
headers, comments, endnotes, text boxes.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterator
from typing import BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract.building import Builder, one_line
from qrank.ingest.extract.office.embedded import members_of
from qrank.ingest.extract.office.older.compound import Compound
from qrank.results import Document
from qrank.settings import Reading

_STREAM = "WordDocument"
_WORD_97 = 0x00C1  # version number (nFib)
_ENCRYPTED, _TABLE_1 = 0x0100, 0x0200
_PIECES, _PARAGRAPHS, _CHARACTERS = (
    33,
    13,
    12,
)  # indices of structures in FibRgFcLcb97, which has their offsets in the table stream
_COMPRESSED = 1 << 30
_DELETED = 0x0800  # a property of characters (sprmCFRMarkDel)
# Bytes of a property's value, by kind; -1: its first byte is the size.
_SIZES = (1, 1, 2, 4, 2, 2, -1, 3)
_FIELD = re.compile("\x13[^\x13-\x15]*\x14|\x13[^\x13-\x15]*\x15|\x15")
# Special characters: anchors of pictures, notes, comments and drawings; soft hyphens; breaks.
_MARKS = dict.fromkeys([*range(1, 7), 8, 0x1F]) | {0x0B: "\n", 0x1E: "-", 0x0E: "\r", 0x0C: "\r"}
MAX_FIELDS = 20  # levels of nested fields


def extract(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the document, then its members. The title is that of its properties, else its first
    heading. Raises ExtractError."""
    compound = Compound(file)
    word = compound.read(_STREAM)
    try:
        builder = _read(word, compound)
    except struct.error as error:
        raise ExtractError("damaged, or not a Word document") from error
    title, fields = compound.properties()
    yield builder.document(title or builder.first_heading, fields)
    yield from members_of(compound, reading)


def _read(word: bytes, compound: Compound) -> Builder:
    version, flags = struct.unpack_from("<2xH6xH", word)
    if flags & _ENCRYPTED:
        raise ExtractError("encrypted")
    if version < _WORD_97:
        raise ExtractError("older than Word 97, which is not supported")
    table = compound.read("1Table" if flags & _TABLE_1 else "0Table")
    counts = struct.unpack_from("<8I", word, 0x4C)
    body, footnotes, heads, _, comments, endnotes, boxes, head_boxes = counts
    pieces = [*_pieces(word, _part(word, table, _PIECES))]
    text = _without_deleted(pieces, _deleted(word, _part(word, table, _CHARACTERS)))
    styles = _Styles(word, _part(word, table, _PARAGRAPHS), pieces)
    builder = Builder()
    _add(builder, text[:body], styles)
    at = body
    later = []
    for size, is_head in (
        *((footnotes, False), (heads, True), (comments, False), (endnotes, False)),
        *((boxes, False), (head_boxes, True)),
    ):
        later.append((is_head, text[at : at + size]))
        at += size
    for is_head in (False, True):
        if is_head:
            builder.headings()
            builder.part()
        seen: dict[str, None] = {}
        for each, part_text in later:
            if each is is_head:
                seen |= dict.fromkeys(_clean(part_text).split("\r"))
        for line in seen:
            builder.paragraph(line.replace("\x07", " "))
    return builder


def _without_deleted(pieces: list[tuple[int, int, str]], deleted: list[tuple[int, int]]) -> str:
    """The text of the pieces. Deleted text of tracked changes is replaced by special characters,
    which are removed later, so that offsets stay the same."""
    result = []
    starts = [start for start, _ in deleted]
    for offset, width, text in pieces:
        at = max(0, bisect_right(starts, offset) - 1)
        done = 0
        while at < len(deleted) and deleted[at][0] < offset + width * len(text):
            start, end = (max(done, (each - offset) // width) for each in deleted[at])
            result.append(text[done:start])
            result.append("".join("\x07" if each == "\x07" else "\x01" for each in text[start:end]))
            done = end
            at += 1
        result.append(text[done:])
    return "".join(result)


def _deleted(word: bytes, data: bytes) -> list[tuple[int, int]]:
    """(start, end) offsets in the file of deleted text, in order: [MS-DOC] 2.9.33."""
    result = []
    for block in _blocks(word, data):
        count = min(block[511], 101)
        for i in range(count):
            offset = block[4 * (count + 1) + i] * 2
            if offset and _is_deleted(block[offset + 1 : offset + 1 + block[offset]]):
                result.append(struct.unpack_from("<2I", block, 4 * i))
    return sorted((start, end) for start, end in result if start < end)


def _is_deleted(properties: bytes) -> bool:
    at = 0
    while at + 2 < len(properties):
        [code] = struct.unpack_from("<H", properties, at)
        if code == _DELETED:
            return properties[at + 2] == 1
        size = _SIZES[code >> 13]
        at += 2 + (size if size >= 0 else 1 + properties[at + 2])
    return False


def _blocks(word: bytes, data: bytes) -> Iterator[bytes]:
    """Yield the blocks (FKP pages) of a table of paragraph or character properties."""
    count = max(0, len(data) - 4) // 8
    for (page,) in struct.iter_unpack("<I", data[4 * (count + 1) : 4 * (2 * count + 1)]):
        block = word[page * 512 : page * 512 + 512]
        if len(block) == 512:
            yield block


def _part(word: bytes, table: bytes, number: int) -> bytes:
    start, size = struct.unpack_from("<2I", word, 0x9A + 8 * number)
    return table[start : start + size]


def _pieces(word: bytes, data: bytes) -> Iterator[tuple[int, int, str]]:
    """Yield (offset in the file, bytes per character, text) of the pieces of text, in order."""
    at = 0
    while data[at : at + 1] == b"\x01":  # skip the properties of a quick save
        at += 3 + struct.unpack_from("<H", data, at + 1)[0]
    [size] = struct.unpack_from("<I", data, at + 1)
    count = max(0, min(size, len(data) - at - 5) - 4) // 12
    positions = struct.unpack_from(f"<{count + 1}I", data, at + 5)
    for i in range(count):
        [offset] = struct.unpack_from("<2xI", data, at + 5 + 4 * (count + 1) + 8 * i)
        length = positions[i + 1] - positions[i]
        if offset & _COMPRESSED:
            start = (offset & ~_COMPRESSED) // 2
            yield start, 1, word[start : start + max(0, length)].decode("cp1252", "replace")
        else:
            raw = word[offset : offset + 2 * max(0, length)]
            # One character per UTF-16 unit, as in the file, so that positions match.
            units = struct.unpack(f"<{len(raw) // 2}H", raw[: len(raw) // 2 * 2])
            yield offset, 2, "".join(map(chr, units))


def _clean(text: str) -> str:
    """Remove special characters, and the instructions of fields; their results are kept."""
    for _ in range(MAX_FIELDS):
        shorter = _FIELD.sub("", text)
        if shorter == text:
            break
        text = shorter
    text = text.translate(_MARKS).replace("\x13", "").replace("\x14", "")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _add(builder: Builder, text: str, styles: _Styles) -> None:
    """Add the body. A cell ends with a cell mark (\\x07), a row with another one."""
    cells: list[str] = []
    rows: list[str] = []
    cell = ""  # the paragraphs of the current cell
    at = 0
    for match in re.finditer("[^\r\x07\x0c]*[\r\x07\x0c]?", text):
        raw = match[0]
        if not raw:
            continue
        end = raw[-1]
        content = _clean(raw.rstrip("\r\x07\x0c"))
        if end == "\x07":
            if content or cell or not cells:
                cells.append(one_line(f"{cell} {content}"))
                cell = ""
            elif match.start() == at and cells:  # the mark of the row
                rows.append(" | ".join(cells))
                cells = []
            at = match.end()
            continue
        if cells:
            cell = f"{cell} {content}"
            continue
        if rows:
            builder.paragraph("\n".join(rows))
            rows = []
        level = styles.level(match.end() - 1)
        if level:
            builder.heading(level, content)
        else:
            builder.paragraph(content)
    if cells:
        rows.append(" | ".join(cells))
    builder.paragraph("\n".join(rows))


class _Styles:
    """The heading levels of paragraphs: styles 1 to 9 are the built-in heading styles."""

    def __init__(self, word: bytes, data: bytes, pieces: list[tuple[int, int, str]]) -> None:
        self._starts: list[int] = []  # position of each piece in the text
        self._pieces = pieces
        at = 0
        for _, _, text in pieces:
            self._starts.append(at)
            at += len(text)
        starts: list[tuple[int, int]] = []  # (offset in the file, style) of each paragraph
        for block in _blocks(word, data):
            runs = min(block[511], 29)
            for i in range(runs):
                [start] = struct.unpack_from("<I", block, 4 * i)
                offset = block[4 * (runs + 1) + 13 * i] * 2
                if 0 < offset < 508:
                    offset += 1 if block[offset] else 2
                    starts.append((start, struct.unpack_from("<H", block, offset)[0]))
                else:
                    starts.append((start, 0))
        starts.sort()
        self._places = [start for start, _ in starts]
        self._numbers = [number for _, number in starts]

    def level(self, at: int) -> int:
        """The heading level of the paragraph at a position; 0 for other paragraphs."""
        number = bisect_right(self._starts, at) - 1
        if number < 0 or not self._places:
            return 0
        start, width, _ = self._pieces[number]
        run = bisect_right(self._places, start + (at - self._starts[number]) * width) - 1
        style = self._numbers[run] if run >= 0 else 0
        return style if 1 <= style <= 9 else 0
