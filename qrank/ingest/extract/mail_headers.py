"""Headers of mails: encoded words and raw bytes, in the encodings that mail programs mean."""

from __future__ import annotations

import binascii
import re
from email.message import Message

from qrank.ingest.decode import decode_labelled
from qrank.ingest.extract.building import one_line

MAX_HEADER = 1 << 20  # characters of a header that are read
_WORD = re.compile(r"=\?([^?*\s]{1,40})(?:\*[^?\s]{0,20})?\?([bBqQ])\?([^?\n]*)\?=")
_QUOTED = re.compile(rb"=([0-9A-Fa-f]{2})")


def header(message: Message, name: str) -> str:
    """A header's text on one line; empty when there is none."""
    for key, value in message.raw_items():
        if key.lower() == name.lower():
            return words(str(value)[:MAX_HEADER])
    return ""


def words(value: str) -> str:
    """What a header says (RFC 2047). Neighbouring words of an encoding may share a character.

    >>> words("=?gb2312?B?1uzp?= =?gb2312?B?Rrv5?= <a@b.c>")
    '朱镕基 <a@b.c>'
    """
    made: list[str] = []
    encoded, label = b"", ""  # of the words before, as far as they are of one encoding
    at = 0
    for match in _WORD.finditer(value):
        between = value[at : match.start()]
        goes_on = bool(label) and not between.strip()
        if not goes_on or match[1].lower() != label:
            made.append(_text(encoded, label))
            encoded = b""
        if not goes_on:
            made.append(_raw(between))
        label = match[1].lower()
        encoded += _bytes(match[2].lower(), match[3])
        at = match.end()
    made += [_text(encoded, label), _raw(value[at:])]
    return one_line("".join(made))


def _text(data: bytes, label: str) -> str:
    return decode_labelled(data, label) if data else ""


def _raw(value: str) -> str:
    """What stands in a header as bytes beyond ASCII, which nothing says the encoding of."""
    if value.isascii():
        return value
    return decode_labelled(value.encode("utf-8", "surrogateescape"), "")


def _bytes(how: str, word: str) -> bytes:
    data = word.encode("utf-8", "surrogateescape")
    if how == "q":
        return _QUOTED.sub(lambda m: bytes([int(m[1], 16)]), data.replace(b"_", b" "))
    try:
        return binascii.a2b_base64(data + b"=" * (-len(data) % 4))
    except binascii.Error:
        return data
