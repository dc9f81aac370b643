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
from qrank.ingest.limits import original_limits
from qrank.ingest.problems import signal_name
from qrank.names import disk_path

MAX_OUTPUT = 64 << 20
POLL_SECONDS = 0.02  # between checks of the size of the output


def preprocessed(command: tuple[str, ...], path: str, timeout: float) -> BinaryIO:
    """Run a command with the path as its argument and the file on stdin; returns its stdout.

    It is run without a shell, and without the resource limits of this process. Raises ExtractError
    when it is missing, fails, writes too much or takes longer than timeout seconds; then it is
    killed, with its child processes.
    """
    disk = disk_path(path)
    out = tempfile.TemporaryFile()  # noqa: SIM115  (the caller reads it)
    with tempfile.TemporaryFile() as stderr:
        process = None
        try:
            with open(disk, "rb") as content, _sigterm_delayed():  # noqa: PTH123
                process = _start([*command, disk], content, out, stderr)
            why = _wait(process, (out, stderr), timeout)
        finally:  # also when this process gets SIGTERM
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
        with original_limits():
            return subprocess.Popen(
                command,
                stdin=content,
                stdout=out,
                stderr=stderr,
                start_new_session=True,  # a process group, so that its children can be killed, too
            )
    except FileNotFoundError as error:
        raise ExtractError(f"there is no command {command[0]}") from error
    except OSError as error:
        raise ExtractError(f"can't run {command[0]}: {error.strerror}") from error


@contextmanager
def _sigterm_delayed() -> Iterator[None]:
    """Delay SIGTERM to the end of the context: while a command starts, its process id is not known,
    so that it could not be killed."""
    if threading.current_thread() is not threading.main_thread():  # only that handles signals
        yield
        return
    received: list[int] = []
    handler = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        if received:
            signal.raise_signal(signal.SIGTERM)


def _wait(process: subprocess.Popen[bytes], files: tuple[IO[bytes], ...], timeout: float) -> str:
    """Wait for the command to end; returns the reason when it takes or writes too much, else ""."""
    end = time.monotonic() + timeout
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(min(POLL_SECONDS, max(0.0, end - time.monotonic())))
        if any(os.fstat(file.fileno()).st_size > MAX_OUTPUT for file in files):
            return f"wrote more than {MAX_OUTPUT >> 20} MiB"
        if process.returncode is not None:
            return ""
        if time.monotonic() >= end:
            return f"took longer than {timeout:g} s"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the command and its children. (It was not waited for, so its id can't be reused yet.)"""
    if os.name == "posix":
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
