"""The worker process: reads files whose readers may crash, hang or want too much.

On stdin: a pickled `Reading`, then lists of tasks. On stdout, for each task in order: messages of
a kind byte, a length and a pickle. The process limits itself, so that no file costs more than its
share; the parent (readers.py) notices when it is gone.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
import threading
import time
from typing import BinaryIO

from qrank.ingest import limits

MEMORY = 768 << 20  # bytes of address space beyond what the process starts with
TOO_MUCH = f"needs more than {MEMORY >> 20} MiB of memory"
OUT_OF_MEMORY = 97  # the exit status of a process that ended itself for that
GIVES_WAY = 5  # niceness beyond the parent's, which writes what all workers read
HEADER = struct.Struct("<cQ")
# Kinds of message: a whole file; its first pieces; more of them; its end; why it can't be read;
# which page of how many is being read, where that takes long.
WHOLE, FIRST, MORE, END, PROBLEM, PAGE = b"W", b"F", b"M", b"E", b"X", b"P"
LAST = (WHOLE, END, PROBLEM)


def main() -> None:
    """Serve until stdin ends."""
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it, too, and ends this one
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # a user's command ends with this one
    tasks_in = sys.stdin.buffer
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints must not get in between
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    reading = pickle.load(tasks_in)
    _tell_pages(out)
    limits.remember()
    _limit_memory()
    if hasattr(os, "nice"):
        os.nice(GIVES_WAY)
    while True:
        try:
            tasks = pickle.load(tasks_in)
        except EOFError:
            return
        for task in tasks:
            _limit_time(reading.timeout)
            _serve(task, reading, out)
            out.flush()


def _serve(task: tuple[object, ...], reading: object, out: BinaryIO) -> None:
    from qrank.ingest.prepare import Outcome, prepare
    from qrank.ingest.problems import problem_of

    try:
        for message in prepare(task, reading):  # type: ignore[arg-type]
            if isinstance(message, Outcome):
                _send(out, WHOLE if message.complete else FIRST, message)
                if message.complete:
                    return
            else:
                _send(out, MORE, message)
        _send(out, END, None)
    except BrokenPipeError:  # the parent is gone
        os._exit(1)
    except SystemExit:  # the parent wants no more
        raise
    except BaseException as error:
        problem = problem_of(error)
        _send(out, PROBLEM, (problem.kind, problem.reason))


def _tell_pages(out: BinaryIO) -> None:
    from qrank.ingest.extract.ocr import pages

    def send_page(page: int, count: int) -> None:
        _send(out, PAGE, (page, count))
        out.flush()

    pages.on_page = send_page


def _send(out: BinaryIO, kind: bytes, value: object) -> None:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    out.write(HEADER.pack(kind, len(data)))
    out.write(data)


def _limit_memory() -> None:
    """MEMORY beyond what is held now: of address space where the system limits that; where it does
    not (macOS), a thread ends the process soon after it holds more. Windows has neither."""
    _limit("RLIMIT_CORE", 0)
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            size = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        size = 512 << 20
    if not _limit("RLIMIT_AS", size + MEMORY) and _peak():
        threading.Thread(target=_watch_memory, args=(_peak() + MEMORY,), daemon=True).start()


def _watch_memory(most: int) -> None:
    while _peak() <= most:
        time.sleep(0.05)
    os._exit(OUT_OF_MEMORY)


def _peak() -> int:
    """The most memory that this process has held so far, in bytes; 0 where that is not told."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _limit_time(seconds: float) -> None:
    """So many seconds of processor time from now on, then SIGXCPU ends the process; where there is
    no such limit the parent ends it, by the clock."""
    used = os.times()
    _limit("RLIMIT_CPU", int(used.user + used.system + seconds) + 1)


def _limit(name: str, limit: int) -> bool:
    """Limit this process; whether the system does. No limit is worth not reading files."""
    try:
        import resource

        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(kind, (limit, hard))
    except (ImportError, AttributeError, OSError, ValueError):
        return False
    return True


if __name__ == "__main__":
    main()
