"""A user's own command that turns a file into text (ripgrep's --pre)."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.limits import lifted
from qrank.ingest.problems import signal_name
from qrank.names import disk_path

MAX_OUTPUT = 64 << 20
LOOKS = 0.02  # seconds between two looks at what was written


def preprocessed(command: tuple[str, ...], path: str, timeout: float) -> BinaryIO:
    """What the command, given the path, and the file on stdin, writes to stdout.

    It is run without a shell and without the limits of this process. Raises ExtractError when it
    is missing, fails, writes too much or takes longer than timeout seconds; it is ended then, with
    all that it started.
    """
    disk = disk_path(path)
    out = tempfile.TemporaryFile()  # noqa: SIM115  (the caller reads it)
    with tempfile.TemporaryFile() as stderr:
        process = None
        try:
            with open(disk, "rb") as content, _sigterm_held_back():  # noqa: PTH123
                process = _start([*command, disk], content, out, stderr)
            why = _waited(process, (out, stderr), timeout)
        finally:  # also when this process is asked to end
            if process and process.returncode is None:
                _end(process)
        if why:
            raise ExtractError(f"{command[0]} {why}")
        if process.returncode < 0:
            raise ExtractError(f"{command[0]} was killed by {signal_name(-process.returncode)}")
        if process.returncode:
            stderr.seek(0)
            lines = stderr.read(4096).decode("utf-8", "replace").split("\n")
            first = next((line.strip() for line in lines if line.strip()), "")
            raise ExtractError(
                f"{command[0]} exited with status {process.returncode}"
                + (f": {first}" if first else "")
            )
    out.seek(0)
    return out


def _start(
    command: list[str], content: BinaryIO, out: IO[bytes], stderr: IO[bytes]
) -> subprocess.Popen[bytes]:
    try:
        with lifted():
            return subprocess.Popen(
                command,
                stdin=content,
                stdout=out,
                stderr=stderr,
                start_new_session=True,  # a group that can be ended with all that is in it
            )
    except FileNotFoundError as error:
        raise ExtractError(f"there is no command {command[0]}") from error
    except OSError as error:
        raise ExtractError(f"can't run {command[0]}: {error.strerror}") from error


@contextmanager
def _sigterm_held_back() -> Iterator[None]:
    """SIGTERM is handled at the end: while a command starts, nobody knows yet what to end."""
    if threading.current_thread() is not threading.main_thread():  # which handles signals
        yield
        return
    came: list[int] = []
    handler = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        if came:
            signal.raise_signal(signal.SIGTERM)


def _waited(process: subprocess.Popen[bytes], files: tuple[IO[bytes], ...], timeout: float) -> str:
    """Wait for the command; why not to its end, when it takes or writes too much."""
    end = time.monotonic() + timeout
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(min(LOOKS, max(0.0, end - time.monotonic())))
        if any(os.fstat(file.fileno()).st_size > MAX_OUTPUT for file in files):
            return f"wrote more than {MAX_OUTPUT >> 20} MiB"
        if process.returncode is not None:
            return ""
        if time.monotonic() >= end:
            return f"took longer than {timeout:g} s"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and what it started. (It was not waited for, so that its number is its.)"""
    if os.name == "posix":
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
