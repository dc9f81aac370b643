"""Starting the warm process in the background, asking about it, and ending it."""

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
from qrank.serve.remote import ask

SECONDS = 30.0  # until one that was started answers
LOG_BYTES = 1 << 20  # at which the log is restarted


class ServeError(QrankError):
    """The warm process does not start, or does not end."""


def status() -> dict[str, Any]:
    """The status of the process; {"running": False} when none answers."""
    try:
        with ask({"do": "status"}, 2.0) as connection:
            answer: dict[str, Any] = wire.receive(connection)[0]
            return answer
    except (OSError, ValueError):
        return {"running": False}


def log_file() -> Path:
    """Where what it logs goes, when it runs in the background."""
    return Path(places.folder()) / f"{places.NAME}.log"


def in_background(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start `qrank serve --foreground` with these arguments, apart from this terminal."""
    make_folder()
    path = log_file()
    fresh = not path.exists() or path.stat().st_size > LOG_BYTES
    number = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if fresh else 0), 0o600
    )
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "qrank", "serve", "--foreground", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=number,
            stderr=number,
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(number)


def start(arguments: list[str]) -> dict[str, Any]:
    """Start it and wait until it answers; returns its status. Raises ServeError."""
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
    """End it, when the commands that it runs are done; returns whether there was one."""
    answer = status()
    if not answer["running"]:
        return False
    try:
        with ask({"do": "stop"}) as connection:
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
    """Whether a process does something: one that has ended stays until its parent looks."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return True
    return fields[0] != "Z"
