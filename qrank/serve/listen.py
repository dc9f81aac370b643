"""The listening sockets of the warm process, and the lock that only one process can have."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

from qrank.closing import Closing
from qrank.errors import InputError
from qrank.files import reason
from qrank.serve import places
from qrank.serve.client import COMMANDS, CONTROL

BACKLOG = 256


class AlreadyRunningError(Exception):
    """Another process is listening."""


class Listening(Closing):
    """Both sockets, newly created. Sockets of a killed process are replaced: it no longer has the
    lock."""

    def __init__(self) -> None:
        """Raises AlreadyRunningError, or InputError when the folder can't be used."""
        self.folder = make_folder()
        self.path = str(self.folder / (places.NAME + COMMANDS))
        self._lock = self._locked()
        self.commands, self.control = self._listen(COMMANDS), self._listen(CONTROL)
        self._file = self._identity()
        self._open = True

    def _locked(self) -> int:
        lock = os.open(self.folder / f"{places.NAME}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise AlreadyRunningError from None
        return lock

    def _listen(self, suffix: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

        def bind(folder: str) -> None:
            path = f"{folder}/{places.NAME}{suffix}"
            with suppress(FileNotFoundError):
                os.unlink(path)
            listener.bind(path)

        places.with_short_path(str(self.folder), bind)
        listener.listen(BACKLOG)
        return listener

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def is_current(self) -> bool:
        """Whether the socket's file is still the one that this process made."""
        return self._file is not None and self._identity() == self._file

    def close(self) -> None:
        """Close and remove the sockets, and release the lock."""
        if not self._open:
            return
        self._open = False
        if self.is_current():
            for end in (COMMANDS, CONTROL):
                (self.folder / (places.NAME + end)).unlink(missing_ok=True)
        self.commands.close()
        self.control.close()
        os.close(self._lock)


def make_folder() -> Path:
    """Create the folder for sockets, readable by this user only, if needed. Raises InputError when
    that fails, or the folder is not safe to use."""
    folder = Path(places.folder())
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(0o700)
    except OSError as error:
        raise InputError(f"can't make the folder {folder}: {reason(error)}") from error
    if problem := places.problem(str(folder)):
        raise InputError(
            f"{problem}, so nothing can listen there", hint=f"remove it, or: chmod 700 {folder}"
        )
    return folder
