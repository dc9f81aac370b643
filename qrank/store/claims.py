"""Claims on unique texts, so that processes that embed at the same time do not repeat work.

A claim is a lock on one byte of a file beside the index; the offset is the unique text's id. The
operating system releases it when the process ends, also when it is killed, so that claims need no
renewal. The file stays empty; the last process that uses it removes it.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = "-claims"  # appended to the index's file name
_IN_USE = 0  # this byte has a shared lock while the file is used; ids of unique texts start at 1
_LOCKED = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)  # by another process

# These locks belong to the process, not to a thread: threads with the same index take turns.
_thread_locks: dict[str, threading.Lock] = {}


class Claims:
    """The claims of this process. Without a file (none can be created or locked) every claim
    succeeds."""

    def __init__(self, file: int | None) -> None:
        self._file = file
        self._claimed: set[int] = set()

    def take(self, text_ids: Sequence[int]) -> list[int]:
        """Claim unique texts; returns those that no other process has claimed."""
        free = [text_id for text_id in text_ids if self._file is None or _lock(self._file, text_id)]
        self._claimed.update(free)
        return free

    def release(self, text_ids: Sequence[int] | None = None) -> None:
        """Release claims, by default all."""
        released = self._claimed if text_ids is None else self._claimed.intersection(text_ids)
        if self._file is not None:
            for text_id in released:
                _unlock(self._file, text_id)
        self._claimed = self._claimed - released


@contextmanager
def open_claims(index: Path) -> Iterator[Claims]:
    """Claims on unique texts of an index; released at the end of the context."""
    path = os.path.realpath(index) + SUFFIX
    with _thread_locks.setdefault(path, threading.Lock()):
        file = _open(path, index)
        try:
            claims = Claims(file)
            yield claims
        finally:
            if file is not None:
                claims.release()
                _close(file, path)


def _open(path: str, index: Path) -> int | None:
    """Open the file, creating it when it is missing; None where it can't be used."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    while True:
        try:
            file = os.open(path, flags, index.stat().st_mode & 0o666)
        except OSError:
            return None
        try:
            _share(file)
            # Another process may have removed it between the two calls above.
            if os.path.samestat(os.fstat(file), os.stat(path)):  # noqa: PTH116
                return file
        except FileNotFoundError:
            pass
        except OSError:  # a file system without locks
            os.close(file)
            return None
        os.close(file)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int, byte: int) -> bool:
        """Lock a byte exclusively; returns whether that succeeded (or locks do not work)."""
        os.lseek(file, byte, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            return error.errno not in _LOCKED
        return True

    def _unlock(file: int, byte: int) -> None:
        os.lseek(file, byte, os.SEEK_SET)
        with suppress(OSError):
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

    def _share(file: int) -> None:
        """Nothing to do: Windows does not remove files that are open."""

    def _close(file: int, path: str) -> None:
        os.close(file)
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108

else:
    import fcntl

    def _lock(file: int, byte: int) -> bool:
        """Lock a byte exclusively; returns whether that succeeded (or locks do not work)."""
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError as error:
            return error.errno not in _LOCKED
        return True

    def _unlock(file: int, byte: int) -> None:
        with suppress(OSError):
            fcntl.lockf(file, fcntl.LOCK_UN, 1, byte)

    def _share(file: int) -> None:
        """Mark the file as in use while it is open."""
        fcntl.lockf(file, fcntl.LOCK_SH, 1, _IN_USE)

    def _close(file: int, path: str) -> None:
        """Close the file, and remove it unless another process uses it."""
        with suppress(OSError):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _IN_USE)
            os.unlink(path)  # noqa: PTH108
        os.close(file)
