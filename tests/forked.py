"""Runs the command in a fork of a process that has imported it: as the installed one, but faster.

For tests that run it thousands of times. What a child may take is bounded: a run that hangs or
fills the memory ends, and is seen as what it is.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numkong  # noqa: F401  (imported once, before the children are made)
import numpy  # noqa: F401
import rich.console  # noqa: F401
from support import Run

from qrank.__main__ import main

SECONDS, MEMORY = 60, 6 << 30  # of one run


@cache
def _server() -> subprocess.Popen[str]:
    """A process that only forks: one in which a model ran has threads of OpenMP's, which a child
    would wait for without end."""
    started = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(started.kill)
    return started


def forked(folder: Path, environment: Mapping[str, str], *words: object, stdin: bytes = b"") -> Run:
    """Run the command with words in folder. A run that a signal ends has minus its number."""
    args = tuple(map(str, words))
    with tempfile.TemporaryDirectory() as place:
        files = [str(Path(place) / name) for name in ("stdin", "stdout", "stderr")]
        Path(files[0]).write_bytes(stdin)
        server = _server()
        assert server.stdin
        assert server.stdout
        print(
            json.dumps([str(folder), dict(environment), args, files]), file=server.stdin, flush=True
        )
        status = int(server.stdout.readline())
        said = [Path(file).read_bytes().decode("utf-8", "replace") for file in files[1:]]
    return Run(args, os.waitstatus_to_exitcode(status), *said)


def _serve() -> None:
    for line in sys.stdin:
        folder, environment, args, files = json.loads(line)
        child = os.fork()
        if not child:
            flags = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_WRONLY | os.O_CREAT)
            streams = [os.open(file, flag) for file, flag in zip(files, flags, strict=True)]
            _become(Path(folder), environment, args, streams)
        print(os.waitpid(child, 0)[1], flush=True)


def _become(
    folder: Path, environment: Mapping[str, str], args: Sequence[str], streams: list[int]
) -> None:
    """In the child: be the command. Never returns."""
    status = 99
    try:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        sys.argv = ["qrank", *args]
        main()
    except SystemExit as done:
        status = done.code if isinstance(done.code, int) else 98
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def trouble(run: Run) -> str:
    """What is wrong with how a run on something hostile ended; "" when it answered, or said one
    line and gave status 2."""
    lines = run.stderr.splitlines()
    if run.returncode in (0, 1) and "Traceback" not in run.stderr:
        return ""
    if run.returncode != 2 or not lines:
        return f"status {run.returncode}: {lines[-1] if lines else ''}"
    if len(lines) > 1 or not lines[0].startswith("qrank: ") or "--debug shows" in lines[0]:
        return " | ".join(lines[-3:])
    return ""


if __name__ == "__main__":
    _serve()
