"""Opening files without blocking, and hashes of their content."""

from __future__ import annotations

import errno
import os
import stat
from functools import lru_cache, partial
from typing import BinaryIO

from qrank.errors import NoTextError
from qrank.names import disk_path
from qrank.results import Signature

_HASH_BYTES = 16


def open_regular(path: str) -> BinaryIO:
    """Open a regular file; never blocks on a FIFO.

    Raises NoTextError for anything but a regular file, and OSError.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(disk_path(path), flags | getattr(os, "O_CLOEXEC", 0))
    except ValueError as error:  # a NUL in it
        raise OSError(errno.EINVAL, str(error)) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise NoTextError("not a regular file")
    return os.fdopen(handle, "rb")


def data_hash(data: bytes) -> bytes:
    """The hash of a file's content: BLAKE2b-128."""
    import hashlib  # takes 3 ms, and most searches don't need it

    return hashlib.blake2b(data, digest_size=_HASH_BYTES).digest()


def file_hash(file: BinaryIO) -> bytes:
    """The same hash of an open file, from its current position to its end."""
    import hashlib

    new_hash = partial(hashlib.blake2b, digest_size=_HASH_BYTES)
    return hashlib.file_digest(file, new_hash).digest()  # type: ignore[arg-type]


def has_changed(path: str, indexed: Signature, content_hash: bytes, root: str = "") -> bool | None:
    """Whether a file is gone, or its content differs from what was indexed. None if root, the
    folder that was indexed, does not exist here: the file is on another machine.

    Compares size and times; the content is only read and hashed when the size is the same and a
    time is not (after touch, a checkout, a copy).
    """
    try:
        now = Signature.of(os.stat(disk_path(path)))  # noqa: PTH116
    except OSError:
        return None if root and not os.path.lexists(disk_path(root)) else True
    if now.size != indexed.size:
        return True
    return not now.matches(indexed) and _hash_at(path, now) != content_hash


@lru_cache(maxsize=4096)
def _hash_at(path: str, _signature: Signature) -> bytes | None:
    """The hash of a file, cached by its signature; None if it can't be read."""
    try:
        with open_regular(path) as file:
            return file_hash(file)
    except (OSError, NoTextError):
        return None
