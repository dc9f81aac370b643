"""The text of a chunk as models get it, its hash, and citations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qrank.markup import readable

VERSION = 1


def model_text(title: str, heading: str, text: str) -> str:
    """A chunk's text below its title and headings, as models get it. text: without markup.

    >>> model_text("Tea", "Tea > Green", "Steep."), model_text("", "", "Steep.")
    ('Tea > Green\\nSteep.', 'Steep.')
    """
    trail = heading
    if title and heading.split(" > ")[0] != title:
        trail = f"{title} > {heading}" if heading else title
    return f"{trail}\n{text}" if trail else text


def text_for_models(title: str, heading: str, text: str, location: str) -> str:
    """What models are given of a chunk: of the text that its file has, in a format that location
    tells, the readable one."""
    return model_text(title, heading, readable(text, location))


def unique_hash(title: str, heading: str, text: str) -> bytes:
    """The hash, 16 bytes, of a chunk's model_text; chunks with the same hash are embedded once."""
    import hashlib  # takes 3 ms, and keyword searches don't need it

    return hashlib.blake2b(
        model_text(title, heading, text).encode("utf-8"), digest_size=16, salt=bytes([VERSION])
    ).digest()


@dataclass(frozen=True, slots=True)
class Citation:
    """A cited part of a file: its byte range, and the hash of its text (`text_hash`). If the file's
    text is extracted from another format, the bytes are those of that text in UTF-8. member: the
    path in the file, if that contains files."""

    path: str
    start_byte: int
    end_byte: int
    hash: str
    member: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The status of a citation: the same text is at its place (same) or elsewhere in the file
    (moved, with its byte range now), the text was changed, or its file is gone."""

    status: Literal["same", "moved", "changed", "gone"]
    start_byte: int | None = None
    end_byte: int | None = None


def hash_of(data: bytes) -> str:
    """The hash of a citation: BLAKE2b with 128 bits, in hexadecimal."""
    import hashlib

    return hashlib.blake2b(data, digest_size=16).hexdigest()


def text_hash(text: str) -> str:
    """The hash of a text in UTF-8.

    >>> text_hash("tea")[:8]
    '833ede41'
    """
    return hash_of(text.encode("utf-8", "surrogatepass"))
