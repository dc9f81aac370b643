"""Short ids of chunks. The same text in the same file has the same id in every index."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

try:
    from _blake2 import blake2b  # what hashlib.blake2b is, without loading OpenSSL: 3 ms
except ImportError:
    from hashlib import blake2b

if TYPE_CHECKING:
    from qrank.results import StoredChunk
    from qrank.store.interface import Store

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # without l, o, 0, 1, which look alike
_OF_TEXT, _OF_PLACE = 7, 4  # letters of 5 bits each: for the text's hash, for its location's
_ID = re.compile(f"c[{_LETTERS}]{{{_OF_TEXT + _OF_PLACE}}}")
_BITS = 40  # of a hash that the letters are taken from, the first ones


def short_id(stored: StoredChunk) -> str:
    """The id of a chunk: "c", 7 letters of its text's hash and 4 of the hash of its location and
    its number among chunks with the same text there."""
    place = f"{stored.location}\0{stored.copy}".encode("utf-8", "surrogateescape")
    of_place = blake2b(place, digest_size=8).digest()
    return f"c{_letters(stored.unique_hash, _OF_TEXT)}{_letters(of_place, _OF_PLACE)}"


def find(store: Store, id: str) -> StoredChunk | None:
    """The chunk with an id; None when there is none (any more)."""
    if not _ID.fullmatch(id):
        return None
    number = 0
    for letter in id[1 : 1 + _OF_TEXT]:
        number = number * 32 + _LETTERS.index(letter)
    spare = _BITS - 5 * _OF_TEXT
    low, high = number << spare, (number + 1) << spare
    ends = (low.to_bytes(_BITS // 8, "big"), min(high, (1 << _BITS) - 1).to_bytes(5, "big"))
    chunks = [each for each in store.chunks_by_hash(*ends) if short_id(each) == id]
    return min(chunks, key=lambda each: (each.collection, each.id)) if chunks else None


def _letters(data: bytes, count: int) -> str:
    """The first 5 * count bits of data as letters."""
    number = int.from_bytes(data[: _BITS // 8].ljust(_BITS // 8, b"\0"), "big")
    return "".join(_LETTERS[number >> (_BITS - 5 * i) & 31] for i in range(1, count + 1))
