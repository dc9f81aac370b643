"""The text of a chunk for models: its headings, then its text; and citations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qrank.markup import readable

VERSION = 1


def model_text(title: str, heading: str, text: str) -> str:
    """A chunk's readable text with its breadcrumb, which is never stored in the text itself.

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
    """16 bytes that stand for what a model is given of a chunk: equal texts are embedded once."""
    import hashlib  # 3 ms, which a search by words does without

    return hashlib.blake2b(
        model_text(title, heading, text).encode("utf-8"), digest_size=16, salt=bytes([VERSION])
    ).digest()


@dataclass(frozen=True, slots=True)
class Citation:
    """A text that is cited: what a file has between two bytes, and its hash (of its UTF-8,
    BLAKE2b of 128 bits in hexadecimal). Of a format whose text is extracted they are bytes of
    that text."""

    path: str
    start_byte: int
    end_byte: int
    hash: str
    member: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What has become of a cited text: it is the same in its place, has moved to another (whose
    bytes are given), was changed, or its file is gone."""

    status: Literal["same", "moved", "changed", "gone"]
    start_byte: int | None = None
    end_byte: int | None = None


def hash_of(data: bytes) -> str:
    """What a text is known by in a citation: BLAKE2b of 128 bits, in hexadecimal."""
    import hashlib

    return hashlib.blake2b(data, digest_size=16).hexdigest()


def text_hash(text: str) -> str:
    """The hash of a text, of its UTF-8.

    >>> text_hash("tea")[:8]
    '833ede41'
    """
    return hash_of(text.encode("utf-8", "surrogatepass"))
