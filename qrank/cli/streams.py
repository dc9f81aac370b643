"""The three standard streams: UTF-8 whatever the locale says, and failures of theirs told apart.

A stream that the caller closed (`qrank … >&-`) gets a file that refuses to be used, as gnulib's
stdopen does it. Otherwise the next file that is opened, the index even, would get its number, and
what llama.cpp's library prints would land in it.
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
        """Write what can be; there is no place to say that it could not."""
        with suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


def _reason(error: OSError) -> str:
    return "it is closed" if error.errno == errno.EBADF else reason(error)


def set_up() -> None:
    """Put the streams in place of Python's own, which are none where the caller closed them."""
    for number, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest number that is free: those below are open
    sys.stdin = _text(io.BufferedReader(_Stdin(0, "rb", closefd=False)))
    sys.stdout = _text(io.BufferedWriter(_Stdout(1, "wb", closefd=False)))
    sys.stderr = _text(io.BufferedWriter(_Stderr(2, "wb", closefd=False)), by_line=True)


def _text(stream: io.BufferedReader | io.BufferedWriter, *, by_line: bool = False) -> TextIO:
    newline = "\n" if stream.writable() else None  # Windows, too, gets lines as they are
    return io.TextIOWrapper(
        stream, "utf-8", "replace", newline=newline, line_buffering=by_line or stream.isatty()
    )


def give_up_stdout() -> None:
    """Write what is left, or drop it where that fails: else Python tries again at exit."""
    try:
        sys.stdout.flush()
    except (OSError, OutputError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def drop_unread() -> None:
    """After a signal: drop what a pipe or terminal has not taken yet. Whoever reads it may have
    stopped, and writing would wait for that. A file takes everything at once. stderr is dropped
    only when it takes nothing now: there is something to say on it yet."""
    if not stat.S_ISREG(os.fstat(1).st_mode):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if os.name == "posix" and not select.select([], [2], [], 0)[1]:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
