"""Decoding headers of mails: encoded words, and raw bytes."""

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
    """A header with encoded words decoded (RFC 2047). Adjacent words of one encoding are joined
    first, as they may split a character.

    >>> words("=?gb2312?B?1uzp?= =?gb2312?B?Rrv5?= <a@b.c>")
    '朱镕基 <a@b.c>'
    """
    texts: list[str] = []
    encoded, label = b"", ""  # of the adjacent words before
    at = 0
    for match in _WORD.finditer(value):
        between = value[at : match.start()]
        is_adjacent = bool(label) and not between.strip()
        if not is_adjacent or match[1].lower() != label:
            texts.append(_text(encoded, label))
            encoded = b""
        if not is_adjacent:
            texts.append(_raw(between))
        label = match[1].lower()
        encoded += _bytes(match[2].lower(), match[3])
        at = match.end()
    texts += [_text(encoded, label), _raw(value[at:])]
    return one_line("".join(texts))


def _text(data: bytes, label: str) -> str:
    return decode_labelled(data, label) if data else ""


def _raw(value: str) -> str:
    """Decode raw bytes in a header, whose encoding is not declared."""
    if value.isascii():
        return value
    return decode_labelled(value.encode("utf-8", "surrogateescape"), "")


def _bytes(encoding: str, word: str) -> bytes:
    """The bytes of an encoded word; encoding: "b" (base64) or "q"."""
    data = word.encode("utf-8", "surrogateescape")
    if encoding == "q":
        return _QUOTED.sub(lambda m: bytes([int(m[1], 16)]), data.replace(b"_", b" "))
    try:
        return binascii.a2b_base64(data + b"=" * (-len(data) % 4))
    except binascii.Error:
        return data
