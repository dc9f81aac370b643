"""Outlook messages: headers, text and attachments.

Formats: [MS-OXMSG]; [MS-OXRTFCP] for compressed RTF.
"""

from __future__ import annotations

import datetime
import io
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract import html
from qrank.ingest.extract.building import Builder, Omissions, one_line
from qrank.ingest.extract.members import Members
from qrank.ingest.extract.office import rtf
from qrank.ingest.extract.office.older.compound import Compound, codec_of, records
from qrank.results import Document
from qrank.settings import Reading

_SUBJECT, _BODY, _HTML, _RTF = "0037", "1000", "1013", "1009"
_FROM, _FROM_ADDRESS, _FROM_SMTP = "0C1A", "0C1F", "5D01"
_TO, _CC, _BCC = "0E04", "0E03", "0E02"
_NAME, _SHORT_NAME, _DATA = "3707", "3704", "3701"
_TIMES = (0x00390040, 0x0E060040)  # sent, received
_PAGES = (0x3FDE0003, 0x3FFD0003)
_EPOCH = datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC)
MAX_NESTED = 3  # levels of messages in messages
MAX_RTF = 64 << 20  # bytes, decompressed
# The initial dictionary of compressed RTF ([MS-OXRTFCP] 2.1.2.1).
_DICTIONARY = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern "
    b"\\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0"
    b"\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)


def extract(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the message, with its subject as title, then its attachments. Raises ExtractError."""
    message = Compound(file)
    builder, omissions = Builder(), Omissions()
    attached: list[tuple[str, str]] = []
    subject, fields = _add(message, "", builder, omissions, attached)
    builder.note = omissions.note()
    yield builder.document(subject, fields)
    members = Members(reading)
    for name, stream in attached:
        yield from members.read(name, io.BytesIO(message.read(stream)))
    yield from members.final_notes(builder.note)


def _add(
    message: Compound,
    folder: str,
    builder: Builder,
    omissions: Omissions,
    attached: list[tuple[str, str]],
    depth: int = 0,
) -> tuple[str, dict[str, object]]:
    """Add a message, and messages attached to it; returns (subject, headers as fields). folder: of
    the message in the file; attached: gets (name, stream) of each attached file."""
    numbers = _numbers(message.read(f"{folder}__properties_version1.0"), 32 if not folder else 24)
    pages = [number & 0xFFFF for tag in _PAGES if (number := numbers.get(tag))]
    codec = codec_of(pages[0]) if pages else "cp1252"

    def text(tag: str, within: str = "") -> str:
        stream = f"{folder}{within}__substg1.0_{tag}"
        if message.has(f"{stream}001F"):
            return message.read(f"{stream}001F").decode("utf-16-le", "replace").rstrip("\0")
        return message.read(f"{stream}001E").decode(codec, "replace").rstrip("\0")

    address = text(_FROM_SMTP) or text(_FROM_ADDRESS)
    sender = text(_FROM)
    if "@" in address and address not in sender:
        sender = f"{sender} <{address}>".strip()
    headers = {
        "From": sender, "To": text(_TO), "Cc": text(_CC), "Bcc": text(_BCC),
        "Date": _date(numbers), "Subject": text(_SUBJECT),
    }  # fmt: skip
    headers = {name: one_line(value) for name, value in headers.items() if one_line(value)}
    subject = headers.get("Subject", "")
    builder.headings(subject)
    builder.paragraph("\n".join(f"{name}: {value}" for name, value in headers.items()))
    for paragraph in _body(message, folder, text, codec).replace("\r\n", "\n").split("\n\n"):
        builder.paragraph(paragraph)
    for attachment in _folders(message, folder, "__attach_version1.0_"):
        name = one_line(text(_NAME, attachment) or text(_SHORT_NAME, attachment))
        inner = f"{folder}{attachment}__substg1.0_{_DATA}"
        builder.headings(subject)
        if message.has(f"{inner}0102"):
            attached.append((name or "attachment", f"{inner}0102"))
        elif message.has(f"{inner}000D/__properties_version1.0"):
            if depth >= MAX_NESTED:
                omissions.count("message nested too deeply")
                continue
            builder.part()
            _add(message, f"{inner}000D/", builder, omissions, attached, depth + 1)
        else:
            omissions.add(f"{name or 'an attachment'} (of another program)")
        builder.part()
    return subject, {name.lower(): value for name, value in headers.items()}


def _body(message: Compound, folder: str, text: Callable[[str], str], codec: str) -> str:
    """The text of a message: the plain text, else that of its HTML, else that of its RTF."""
    plain = text(_BODY)
    if plain.strip():
        return plain
    prefix = f"{folder}__substg1.0_"
    data = message.read(f"{prefix}{_HTML}0102")
    page = html.decode_html(data) if data else text(_HTML)
    if page.strip():
        inner = Builder()
        html.add(inner, page, line=None)
        return inner.document().text
    try:
        return rtf.read(decompressed(message.read(f"{prefix}{_RTF}0102"))).text
    except ExtractError:
        return ""


def _folders(message: Compound, folder: str, beginning: str) -> list[str]:
    """The subfolders of a folder whose names start with beginning, each with a trailing `/`."""
    result: dict[str, None] = {}
    for name in message.names:
        rest = name.removeprefix(folder)
        if name.startswith(folder) and rest.startswith(beginning) and "/" in rest:
            result[rest.partition("/")[0] + "/"] = None
    return sorted(result)


def _numbers(data: bytes, start: int) -> dict[int, int]:
    """The properties of fixed size, by tag."""
    return dict(struct.unpack("<I4xQ", each) for each in records(data, 16, start))


def _date(numbers: dict[int, int]) -> str:
    for tag in _TIMES:
        value = numbers.get(tag, 0)
        try:
            if value:
                moment = _EPOCH + datetime.timedelta(microseconds=value // 10)
                return moment.strftime("%a, %d %b %Y %H:%M:%S +0000")
        except (OverflowError, ValueError):
            continue
    return ""


def decompressed(data: bytes) -> bytes:
    """Decompress RTF, up to the first error, or MAX_RTF bytes."""
    if len(data) < 16:
        return b""
    [size] = struct.unpack_from("<I", data, 4)
    if data[8:12] == b"MELA":
        return data[16 : 16 + size]
    window = bytearray(_DICTIONARY.ljust(4096, b"\0"))
    to, at, out = len(_DICTIONARY), 16, bytearray()
    most = min(size, MAX_RTF)
    while at < len(data) and len(out) < most:
        control = data[at]
        at += 1
        for bit in range(8):
            if not control >> bit & 1:
                piece = data[at : at + 1]
                at += 1
            else:
                if at + 1 >= len(data):
                    return bytes(out)
                place, count = data[at] << 4 | data[at + 1] >> 4, (data[at + 1] & 15) + 2
                at += 2
                if place == to:
                    return bytes(out)
                piece = b""
                for step in range(count):
                    byte = window[(place + step) & 4095]
                    window[to] = byte
                    to = (to + 1) & 4095
                    piece += bytes([byte])
                out += piece
                continue
            if piece:
                window[to] = piece[0]
                to = (to + 1) & 4095
                out += piece
    return bytes(out)
