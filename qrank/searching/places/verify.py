"""Verifying a citation: whether the cited bytes of the file still have the cited hash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qrank.chunk_text import Citation, Verdict, hash_of
from qrank.ingest.extract import HEAD, is_text
from qrank.names import disk_path

MOST_BYTES = 64 << 20  # of a file that are searched
MOST_HASHED = 256 << 20  # bytes hashed in all, when looking for a chunk that moved


def verify_text(citation: Citation) -> Verdict | None:
    """The status of a citation by the bytes of its file: "same", "moved" or "gone" (no file).

    None when the bytes don't tell: the text has changed, or is extracted from another format or an
    archive. Raises OSError when the file can't be read."""
    path = Path(disk_path(citation.path))
    if not path.is_file():
        return Verdict("gone")
    if citation.member:
        return None
    with path.open("rb") as file:
        head = file.read(HEAD)
        if not is_text(path.name, head):
            return None
        data = head + file.read(MOST_BYTES)
    start, end = citation.start_byte, citation.end_byte
    if hash_of(data[start:end]) == citation.hash:
        return Verdict("same", start, end)
    size = end - start
    hashed = 0
    for begin in _starts(data):
        hashed += size
        if hashed > MOST_HASHED:
            break
        if hash_of(data[begin : begin + size]) == citation.hash:
            return Verdict("moved", begin, begin + size)
    return None


def _starts(data: bytes) -> Iterator[int]:
    """The offsets where a chunk may begin: each line's start, and its first non-blank."""
    at = 0
    while at < len(data):
        yield at
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        line = data[at:end]
        if blanks := len(line) - len(line.lstrip()):
            yield at + blanks
        at = end + 1
