"""The worker process: reads files with parsers that may crash, hang or need too much memory.

On stdin it gets a pickled `Reading`, then pickled lists of tasks. On stdout it writes, for each
task in order, messages of a kind (one byte), a length and a pickle. It limits its own memory and
processor time; the parent (readers.py) detects its end.
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

MEMORY = 768 << 20  # bytes of address space, added to that at the start
MEMORY_REASON = f"needs more than {MEMORY >> 20} MiB of memory"
OUT_OF_MEMORY = 97  # exit status when the memory limit was exceeded
NICENESS = 5  # added to the parent's, which must not fall behind its workers
HEADER = struct.Struct("<cQ")
# Kinds of messages: a complete outcome; an outcome with the first part; another part; the end of
# the file; a problem; the page being read, where pages are slow.
WHOLE, FIRST, MORE, END, PROBLEM, PAGE = b"W", b"F", b"M", b"E", b"X", b"P"
LAST = (WHOLE, END, PROBLEM)


def main() -> None:
    """Serve until stdin ends."""
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent ends this process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # runs finally, which kills a command
    tasks_in = sys.stdin.buffer
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries may print
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    reading = pickle.load(tasks_in)
    _report_pages(out)
    limits.remember_limits()
    _limit_memory()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
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
    except BrokenPipeError:  # the parent has ended
        os._exit(1)
    except SystemExit:  # SIGTERM from the parent
        raise
    except BaseException as error:
        problem = problem_of(error)
        _send(out, PROBLEM, (problem.kind, problem.reason))


def _report_pages(out: BinaryIO) -> None:
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
    """Limit the address space to MEMORY above its present size. On macOS, which can't limit it, a
    thread ends the process when its memory grows as much; Windows has neither."""
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
    """The peak resident memory of this process in bytes; 0 where the system does not report it."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _limit_time(seconds: float) -> None:
    """Limit processor time to so many seconds from now, after which SIGXCPU ends the process; where
    there is no such limit, the parent kills it after a deadline."""
    used = os.times()
    _limit("RLIMIT_CPU", int(used.user + used.system + seconds) + 1)


def _limit(name: str, limit: int) -> bool:
    """Set a resource limit; returns whether that succeeded. Files are read in any case."""
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
