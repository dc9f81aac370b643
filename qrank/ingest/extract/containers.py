"""Archives of documents (zip, tar): each file in one is a member, read as its own format.

Content is only written to unnamed temporary files, and the paths of members are only labels.
"""

from __future__ import annotations

import lzma
import os
import re
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import IO, BinaryIO, NamedTuple

from qrank.errors import ExtractError, NoTextError
from qrank.ingest.extract.members import Members
from qrank.results import Document
from qrank.settings import Reading

MAX_MEMBERS = 20_000
MAX_MEMBER = 64 << 20  # bytes of one, unpacked
MAX_UNPACKED = 1 << 30  # bytes of all
MAX_RATIO = 200  # of all to the archive's size, where that is more than MIN_BOMB
MIN_BOMB = 64 << 20
TIME_SHARE = 0.8  # of the time limit of the archive, after which no other member is read
_IN_MEMORY = 8 << 20
_BROKEN = (
    *(OSError, EOFError, RuntimeError, NotImplementedError, ValueError, KeyError),
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
)
_DRIVE = re.compile(r"[A-Za-z]:")


class _Packed(NamedTuple):
    """A file in an archive; unreadable: why it can't be opened, if that is known."""

    name: str
    size: int
    open: Callable[[], IO[bytes] | None]
    unreadable: str = ""


def extract(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield an empty document for the archive, then those of its members. Raises ExtractError when
    it is not an archive, NoTextError when nothing in it could be read."""
    yield Document("", "", [])
    members = Members(reading)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    most = min(MAX_UNPACKED, max(MIN_BOMB, MAX_RATIO * size))
    stop = _seconds() + TIME_SHARE * reading.timeout
    unpacked = count = 0
    try:
        for packed in _zipped(file) if zipfile.is_zipfile(file) else _tarred(file):
            name = _label(packed.name)
            if not name:
                continue
            count += 1
            unpacked += max(0, packed.size)
            if unpacked > most or count > MAX_MEMBERS:
                members.add_note(
                    f"from {name} on: more than {MAX_MEMBERS} files, or too much unpacked"
                )
                break
            if _seconds() > stop:
                members.add_note(f"from {name} on: the time limit was reached (--timeout)")
                break
            yield from _member(packed, name, members)
    except _BROKEN as error:
        if not count:
            raise ExtractError("damaged, or not an archive") from error
        members.add_note(f"damaged: what follows file {count} is lost")
    if not members.read_any:
        raise NoTextError(members.note or "an empty archive")
    yield from members.final_notes()


def _member(packed: _Packed, name: str, members: Members) -> Iterator[Document]:
    if packed.unreadable or packed.size > MAX_MEMBER:
        members.skip(name, packed.unreadable or f"larger than {MAX_MEMBER >> 20} MiB")
        return
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as content:
        try:
            stream = packed.open()
            if stream is None:
                return
            with stream:
                while piece := stream.read(1 << 20):
                    content.write(piece)
                    if content.tell() > MAX_MEMBER:  # the size in its header is wrong
                        raise ValueError
        except _BROKEN:
            members.skip(name, "damaged")
            return
        content.seek(0)
        yield from members.read(name, content)  # type: ignore[arg-type]


def _zipped(file: BinaryIO) -> Iterator[_Packed]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield _Packed(
                    _zip_name(info),
                    info.file_size,
                    partial(archive.open, info),
                    "encrypted" if info.flag_bits & 1 else "",
                )


def _zip_name(info: zipfile.ZipInfo) -> str:
    """A member's name: UTF-8 if so flagged, or if valid; else cp437, as the format says."""
    name = info.orig_filename.split("\0")[0]
    if info.flag_bits & 0x800:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _tarred(file: BinaryIO) -> Iterator[_Packed]:
    file.seek(0)
    with closing(tarfile.open(fileobj=file, mode="r:*")) as archive:
        for info in archive:
            if info.isfile():
                name = info.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
                yield _Packed(name, info.size, partial(archive.extractfile, info))
        # tarfile does not report a file that ends within a header.
        assert archive.fileobj
        archive.fileobj.seek(archive.offset)
        if archive.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError("truncated")


def _label(name: str) -> str:
    r"""A member's path, relative and with forward slashes; empty for hidden files.

    >>> _label("a\\b.md"), _label("../../etc/passwd"), _label("C:/x.md"), _label("a/.git/config")
    ('a/b.md', 'etc/passwd', 'x.md', '')
    """
    parts = _DRIVE.sub("", name.replace("\\", "/")).split("/")
    parts = [part for part in parts if part not in ("", ".", "..")]
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return ""
    return "/".join(parts)


def _seconds() -> float:
    """Processor time of this process, in seconds."""
    times = os.times()
    return times.user + times.system
