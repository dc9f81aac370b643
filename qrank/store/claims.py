"""Claims on unique texts: what one run embeds, another that goes on at the same time leaves alone.

A claim is a lock on a byte of a file beside the index, as far into it as the unique text's id. The
system drops it when the process ends, however it ends: no claim outlives a killed run, and none
has to be renewed. The file stays empty; who leaves it last removes it.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ENDING = "-claims"  # of the file's name, after the index's
_PRESENT = 0  # this byte is locked, shared, as long as the file is used; unique texts count from 1
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)  # by another process

# Locks belong to a process, not to a thread: within one, runs on the same index take turns.
_turns: dict[str, threading.Lock] = {}


class Claims:
    """What this run has claimed. Without a file, where none can be made or locked, it has all."""

    def __init__(self, file: int | None) -> None:
        self._file = file
        self._claimed: set[int] = set()

    def take(self, text_ids: Sequence[int]) -> list[int]:
        """Claim unique texts; returns those that no other run has claimed."""
        free = [text_id for text_id in text_ids if self._file is None or _lock(self._file, text_id)]
        self._claimed.update(free)
        return free

    def release(self, text_ids: Sequence[int] | None = None) -> None:
        """Let others have unique texts, by default all that were claimed."""
        released = self._claimed if text_ids is None else self._claimed.intersection(text_ids)
        if self._file is not None:
            for text_id in released:
                _unlock(self._file, text_id)
        self._claimed = self._claimed - released


@contextmanager
def open_claims(index: Path) -> Iterator[Claims]:
    """Claims on unique texts of an index, which end with the context."""
    path = os.path.realpath(index) + ENDING
    with _turns.setdefault(path, threading.Lock()):
        file = _open(path, index)
        try:
            claims = Claims(file)
            yield claims
        finally:
            if file is not None:
                claims.release()
                _close(file, path)


def _open(path: str, index: Path) -> int | None:
    """The file, made when there is none; None where it can't be used."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    while True:
        try:
            file = os.open(path, flags, index.stat().st_mode & 0o666)
        except OSError:
            return None
        try:
            _share(file)
            # Another run may have removed it between the two calls above.
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
        """Lock a byte for this process alone; whether it is now."""
        os.lseek(file, byte, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            return error.errno not in _TAKEN
        return True

    def _unlock(file: int, byte: int) -> None:
        os.lseek(file, byte, os.SEEK_SET)
        with suppress(OSError):
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

    def _share(file: int) -> None:
        """Nothing to do: who has a file open keeps others from removing it."""

    def _close(file: int, path: str) -> None:
        os.close(file)
        with suppress(OSError):
            os.unlink(path)  # noqa: PTH108

else:
    import fcntl

    def _lock(file: int, byte: int) -> bool:
        """Lock a byte for this process alone; whether it is now."""
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError as error:
            return error.errno not in _TAKEN
        return True

    def _unlock(file: int, byte: int) -> None:
        with suppress(OSError):
            fcntl.lockf(file, fcntl.LOCK_UN, 1, byte)

    def _share(file: int) -> None:
        """Note that the file is used, as long as it is open."""
        fcntl.lockf(file, fcntl.LOCK_SH, 1, _PRESENT)

    def _close(file: int, path: str) -> None:
        """Close the file, and remove it unless another run uses it."""
        with suppress(OSError):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _PRESENT)
            os.unlink(path)  # noqa: PTH108
        os.close(file)
