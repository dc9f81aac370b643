"""The standard streams: UTF-8 in every locale, and with their own errors.

A stream that the caller closed (`qrank … >&-`) is replaced by /dev/null, opened so that using it
fails, as gnulib's stdopen does. Otherwise the next file that is opened, maybe the index, would get
its descriptor, and output of libraries would be written to it.
"""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from qrank.errors import InputError, OutputError
from qrank.files import reason

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class _Stdin(io.FileIO):
    def readinto(self, buffer: WriteableBuffer, /) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise InputError(f"can't read stdin: {_reason(error)}") from error

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as error:
            raise InputError(f"can't read stdin: {_reason(error)}") from error


class _Stdout(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"can't write to stdout: {_reason(error)}") from error


class _Stderr(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        """Write, ignoring errors: they could not be reported anywhere."""
        with suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


def _reason(error: OSError) -> str:
    return "it is closed" if error.errno == errno.EBADF else reason(error)


def set_up() -> None:
    """Replace Python's standard streams, which are None where the caller closed them."""
    for number, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # it gets the lowest free number, which is this one
    sys.stdin = _text(io.BufferedReader(_Stdin(0, "rb", closefd=False)))
    sys.stdout = _text(io.BufferedWriter(_Stdout(1, "wb", closefd=False)))
    sys.stderr = _text(io.BufferedWriter(_Stderr(2, "wb", closefd=False)), by_line=True)


def _text(stream: io.BufferedReader | io.BufferedWriter, *, by_line: bool = False) -> TextIO:
    newline = "\n" if stream.writable() else None  # no conversion to \r\n on Windows
    return io.TextIOWrapper(
        stream, "utf-8", "replace", newline=newline, line_buffering=by_line or stream.isatty()
    )


def flush_stdout() -> None:
    """Flush stdout, or discard its data if that fails: Python would try again at exit."""
    try:
        sys.stdout.flush()
    except (OSError, OutputError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def discard_output() -> None:
    """After a signal: discard buffered output for a pipe or terminal, since its reader may be
    stopped and writing would block. stderr is discarded only if it would block now: there is a
    message to print to it."""
    if not stat.S_ISREG(os.fstat(1).st_mode):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if os.name == "posix" and not select.select([], [2], [], 0)[1]:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
