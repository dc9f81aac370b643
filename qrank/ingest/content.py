"""A file's bytes: opened without waiting, and the hash that tells whether they are the same."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from functools import partial
from typing import BinaryIO

from qrank.errors import NoTextError
from qrank.names import disk_path

_new_hash = partial(hashlib.blake2b, digest_size=16)


def open_regular(path: str) -> BinaryIO:
    """Open a regular file; never waits for one that has become a FIFO since it was found.

    Raises NoTextError for anything but a regular file, OSError.
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
    """The hash by which the index knows a content: BLAKE2b-128."""
    return _new_hash(data).digest()


def file_hash(file: BinaryIO) -> bytes:
    """The same of a file, from where it is to its end."""
    return hashlib.file_digest(file, _new_hash).digest()  # type: ignore[arg-type]
