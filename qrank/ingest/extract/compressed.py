"""Decompressing single compressed files (gzip, bzip2, xz)."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tempfile
import zlib
from collections.abc import Callable
from typing import IO, Any, BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract.building import truncated

MAX_UNPACKED = 256 << 20
_IN_MEMORY = 8 << 20
_OPENERS: dict[str, Callable[[BinaryIO], Any]] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
SUFFIXES = tuple(_OPENERS)
_MAGIC = ((b"\x1f\x8b\x08", "gz"), (b"BZh91AY&SY", "bz2"), (b"\xfd7zXZ\0", "xz"))


def suffix_by(head: bytes) -> str:
    """The suffix of the compression that the first bytes of a file show; "" for none."""
    return next((suffix for magic, suffix in _MAGIC if head.startswith(magic)), "")


def unpack(file: BinaryIO, suffix: str) -> tuple[BinaryIO, str]:
    """(the decompressed content, as a temporary file; the note for a truncated or damaged file).
    Raises ExtractError when nothing can be decompressed, or too much."""
    out = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  (the caller closes it)
    try:
        note = _unpack(file, suffix, out)
    except BaseException:
        out.close()
        raise
    out.seek(0)
    return out, note  # type: ignore[return-value]


def _unpack(file: BinaryIO, suffix: str, out: IO[bytes]) -> str:
    """Decompress a file into another; returns the note."""
    try:
        with _OPENERS[suffix](file) as packed:
            while piece := packed.read1(1 << 20):
                if out.tell() + len(piece) > MAX_UNPACKED:
                    raise ExtractError(f"unpacks to more than {MAX_UNPACKED >> 20} MiB")
                out.write(piece)
    except EOFError as error:
        note = truncated(file.seek(0, io.SEEK_END))
        if not out.tell():
            raise ExtractError(note) from error
        return note
    except (OSError, zlib.error, lzma.LZMAError, ValueError) as error:
        if not out.tell():
            raise ExtractError("damaged, or not what its extension says") from error
        return f"damaged: {out.tell():,} bytes of its content are read"
    return ""
