"""Verifying a citation: whether the bytes of a file still have its hash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qrank.chunk_text import Citation, Verdict, hash_of
from qrank.ingest.extract import HEAD, is_text
from qrank.names import disk_path

MOST_BYTES = 64 << 20  # of a file that is looked through
MOST_HASHED = 256 << 20  # bytes in all, when a chunk that moved is searched for


def verify_text(citation: Citation) -> Verdict | None:
    """The status of a citation, by the bytes of its file; None where they do not tell:
    it was changed, or the file's text is extracted."""
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
    """Where a chunk may begin: each line, and what is in it after its blanks."""
    at = 0
    while at < len(data):
        yield at
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        line = data[at:end]
        if blanks := len(line) - len(line.lstrip()):
            yield at + blanks
        at = end + 1
