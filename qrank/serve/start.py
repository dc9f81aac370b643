"""Starting and stopping the warm process in the background, and its status."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from qrank.errors import QrankError
from qrank.serve import places, wire
from qrank.serve.listen import make_folder
from qrank.serve.remote import request

SECONDS = 30.0  # timeout for starting and for stopping
LOG_BYTES = 1 << 20  # of a log that is truncated at the next start


class ServeError(QrankError):
    """The warm process does not start or stop."""


def status() -> dict[str, Any]:
    """The status as `qrank serve status --json` has it; {"running": False} when there is no
    process."""
    try:
        with request({"do": "status"}, 2.0) as connection:
            answer: dict[str, Any] = wire.receive(connection)[0]
            return answer
    except (OSError, ValueError):
        return {"running": False}


def log_file() -> Path:
    """The log file of the process in the background."""
    return Path(places.folder()) / f"{places.NAME}.log"


def in_background(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start `qrank serve --foreground` with these arguments in a new session. Raises InputError
    when the folder of sockets can't be used."""
    make_folder()
    path = log_file()
    truncate = not path.exists() or path.stat().st_size > LOG_BYTES
    number = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if truncate else 0), 0o600
    )
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "qrank", "serve", "--foreground", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=number,
            stderr=number,
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(number)


def start(arguments: list[str]) -> dict[str, Any]:
    """Start the process and wait until it responds; returns its status. Raises ServeError."""
    process = in_background(arguments)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        answer = status()
        if answer["running"]:
            return answer
        if process.poll() is not None:
            lines = log_file().read_text("utf-8", "replace").splitlines()
            reason = lines[-1].removeprefix("qrank: ") if lines else "nothing was logged"
            raise ServeError(f"the warm process did not start: {reason}", hint=f"see {log_file()}")
        time.sleep(0.02)
    raise ServeError(f"the warm process does not answer after {SECONDS:g} seconds")


def stop() -> bool:
    """Stop the process after the commands that it is running; returns whether there was one.
    Raises ServeError when it does not end."""
    answer = status()
    if not answer["running"]:
        return False
    try:
        with request({"do": "stop"}) as connection:
            wire.receive(connection)
    except OSError:
        pass
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            os.kill(answer["pid"], 0)
        except ProcessLookupError:
            return True
        if not _is_running(answer["pid"]):
            return True
        time.sleep(0.02)
    raise ServeError(f"the warm process {answer['pid']} does not end", hint=f"kill {answer['pid']}")


def _is_running(pid: int) -> bool:
    """Whether a process has not ended: one that has ended is a zombie until its parent reaps it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return True
    return fields[0] != "Z"
