"""TNEF (winmail.dat), Outlook's attachment with the text of a message and its attached files.

The format: [MS-OXTNEF], and of properties [MS-OXCDATA] 2.11.1.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract import html
from qrank.ingest.extract.building import Builder, one_line, truncated
from qrank.ingest.extract.members import Members
from qrank.ingest.extract.office import rtf
from qrank.ingest.extract.office.older.compound import codec_of
from qrank.ingest.extract.office.older.msg import decompressed
from qrank.results import Document
from qrank.settings import Reading

MAGIC = b"\x78\x9f\x3e\x22"
MAX_SIZE = 256 << 20  # bytes
# The lower 16 bits of the ids of attributes.
_SUBJECT, _BODY, _DATA, _TITLE, _PAGE = 0x8004, 0x800C, 0x800F, 0x8010, 0x9007
_ATTACHMENT, _PROPERTIES, _OF_ATTACHMENT = 0x9002, 0x9003, 0x9005
# Ids of properties.
_PLAIN, _HTML, _RTF, _NAME, _OBJECT = 0x1000, 0x1013, 0x1009, 0x3707, 0x3701
_SIZES = {2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 10: 4, 11: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_VARIABLE = frozenset({0x0D, 0x1E, 0x1F, 0x102})
_MANY, _WIDE, _INNER = 0x1000, 0x1F, 0x0D
MAX_VALUES = 100_000


@dataclass(slots=True)
class _File:
    name: str = ""
    data: bytes = b""


@dataclass(slots=True)
class _Message:
    subject: str = ""
    bodies: dict[int, bytes | str] = field(default_factory=dict)
    files: list[_File] = field(default_factory=list)
    codec: str = "cp1252"
    is_truncated: bool = False


def extract(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the message, then the files attached to it. Raises ExtractError for another file."""
    data = file.read(MAX_SIZE)
    if not data.startswith(MAGIC):
        raise ExtractError("damaged, or not what its extension says")
    message = _read(data)
    builder = Builder()
    builder.headings(message.subject)
    for paragraph in _text(message).replace("\r\n", "\n").split("\n\n"):
        builder.paragraph(paragraph)
    builder.note = truncated(len(data)) if message.is_truncated else ""
    yield builder.document(message.subject)
    members = Members(reading)
    for each in message.files:
        if each.data:
            yield from members.read(each.name or "attachment", io.BytesIO(each.data))
    yield from members.final_notes(builder.note)


def _read(data: bytes) -> _Message:
    message = _Message()
    at = 6  # after the signature and a key
    while at + 9 <= len(data):
        kind, size = struct.unpack_from("<xHxxI", data, at)
        value = data[at + 9 : at + 9 + size]
        at += 11 + size
        if kind == _PAGE and len(value) >= 4:
            message.codec = codec_of(struct.unpack_from("<I", value)[0])
        elif kind == _SUBJECT:
            message.subject = one_line(_string(value, message.codec))
        elif kind == _BODY:
            message.bodies[_PLAIN] = _string(value, message.codec)
        elif kind == _PROPERTIES:
            message.bodies |= dict(_properties(value, message.codec))
        elif kind == _ATTACHMENT:
            message.files.append(_File())
        elif message.files:
            _add_to(message.files[-1], kind, value, message.codec)
    message.is_truncated = at > len(data)
    return message


def _add_to(file: _File, kind: int, value: bytes, codec: str) -> None:
    """Add an attribute to an attached file."""
    if kind == _DATA:
        file.data = value
    elif kind == _TITLE:
        file.name = file.name or one_line(_string(value, codec))
    elif kind == _OF_ATTACHMENT:
        for number, content in _properties(value, codec):
            if number == _NAME and isinstance(content, str):
                file.name = one_line(content)
            elif number == _OBJECT and isinstance(content, bytes) and not file.data:
                inner = content[16:]  # after the id of the object's interface
                file.data = inner if inner.startswith(MAGIC) else content


def _string(value: bytes, codec: str) -> str:
    return value.decode(codec, "replace").rstrip("\0")


def _properties(data: bytes, codec: str) -> Iterator[tuple[int, bytes | str]]:
    """(id, value) of the properties of variable size, up to the first error."""
    try:
        [count] = struct.unpack_from("<I", data)
        at = 4
        for _ in range(min(count, MAX_VALUES)):
            kind, number = struct.unpack_from("<HH", data, at)
            at += 4
            if number >= 0x8000:  # a named property
                [by_name] = struct.unpack_from("<I", data, at + 16)
                [length] = struct.unpack_from("<I", data, at + 20)
                at += 24 + (length + 3 & ~3 if by_name else 0)
            base = kind & ~_MANY
            values = 1
            if kind & _MANY or base in _VARIABLE:
                [values] = struct.unpack_from("<I", data, at)
                at += 4
            for _ in range(min(values, MAX_VALUES)):
                if base not in _VARIABLE:
                    at += _SIZES[base]
                    continue
                [length] = struct.unpack_from("<I", data, at)
                content = data[at + 4 : at + 4 + length]
                at += 4 + (length + 3 & ~3)
                if base == _WIDE:
                    yield number, content.decode("utf-16-le", "replace").rstrip("\0")
                elif base == 0x1E:
                    yield number, _string(content, codec)
                else:
                    yield number, content
    except (struct.error, KeyError):  # the offset of the next property is unknown
        return


def _text(message: _Message) -> str:
    """The plain text, else the text of the HTML, else that of the RTF."""
    plain, page, rich = (message.bodies.get(kind, "") for kind in (_PLAIN, _HTML, _RTF))
    if isinstance(plain, str) and plain.strip():
        return plain
    if page:
        inner = Builder()
        html.add(inner, page if isinstance(page, str) else html.decode_html(page), line=None)
        return inner.document().text
    try:
        return rtf.read(decompressed(rich)).text if isinstance(rich, bytes) and rich else ""
    except ExtractError:
        return ""
