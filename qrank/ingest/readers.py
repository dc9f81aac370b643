"""Reading files in parallel, with results in order: plain text in this process while it is little,
everything else in worker processes.

When a worker crashes, hangs or needs too much memory, only the file that it was reading fails; a
new worker continues.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePath

from qrank.errors import Problem
from qrank.ingest import worker as protocol
from qrank.ingest.prepare import IN_MEMORY, Outcome, Part, needs_worker, prepare
from qrank.ingest.problems import STOPS, problem_of, signal_name
from qrank.processors import usable_processors
from qrank.results import Task
from qrank.settings import Reading

log = logging.getLogger("qrank")
SLOW = 1.0  # seconds for a file after which it is logged
UNISOLATED_BYTES = 2 << 20  # of plain text in all, for which starting a worker is not worth it
BATCH_BYTES, BATCH_FILES = 512 << 10, 64  # of plain files sent to a worker at once
AHEAD_BYTES, AHEAD_FILES = 16 << 20, 2048  # submitted, but not yet yielded
MAX_WORKERS = 8
TERMINATE_SECONDS = 10  # a worker has to kill the command it runs; enough for a busy machine
MESSAGES = 4  # of a file, waiting to be read


def read_all(
    tasks: Iterable[Task], reading: Reading, on_page: Callable[[str], None] | None = None
) -> Iterator[Outcome]:
    """Yield the outcome of each task, in order. Errors of files are outcomes, never raised.

    on_page: called from a thread with the page that is being read, where pages are slow (OCR), and
    with "" at the end of the file.
    """
    ahead: deque[_Reply] = deque()  # in order; those that were not sent are read in this process
    batch: list[_Reply] = []  # plain files that were not sent yet
    # Bytes of files in ahead, in batch, and of all plain files so far.
    waiting = batched = plain_bytes = 0
    with contextlib.closing(_Workers(reading, on_page)) as workers:

        def submit() -> None:
            nonlocal batched
            for at in range(0, len(batch), BATCH_FILES):
                workers.submit(batch[at : at + BATCH_FILES])
            batch.clear()
            batched = 0

        def take() -> Outcome:
            nonlocal batched
            reply = ahead.popleft()
            if reply in batch:
                if plain_bytes > UNISOLATED_BYTES:
                    submit()
                else:
                    batch.remove(reply)
                    batched -= reply.task.signature.size
            return reply.outcome() if reply.sent else _read_here(reply.task, reading)

        for task in tasks:
            reply = _Reply(task)
            ahead.append(reply)
            waiting += task.signature.size
            if needs_worker(task.path, task.reading or reading):
                workers.submit([reply])
            elif task.signature.size <= IN_MEMORY:
                batch.append(reply)
                plain_bytes += task.signature.size
                batched += task.signature.size
                if plain_bytes > UNISOLATED_BYTES and (
                    len(batch) >= BATCH_FILES or batched >= BATCH_BYTES
                ):
                    submit()
            while waiting > AHEAD_BYTES or len(ahead) > AHEAD_FILES:
                waiting -= ahead[0].task.signature.size
                yield take()
        if plain_bytes > UNISOLATED_BYTES:
            submit()
        while ahead:
            yield take()


def _read_here(task: Task, reading: Reading) -> Outcome:
    parts = prepare(task, reading)
    try:
        outcome = next(parts)
        assert isinstance(outcome, Outcome)
        outcome.rest = _rest_here(parts)
        return outcome
    except STOPS:
        raise
    except BaseException as error:  # as in a worker: libraries may raise anything
        return Outcome(task, problem=problem_of(error))


def _rest_here(parts: Iterator[Outcome | Part]) -> Iterator[Part]:
    while True:
        try:
            part = next(parts, None)
        except STOPS:
            raise
        except BaseException as error:
            raise problem_of(error).error() from error
        if part is None:
            return
        assert isinstance(part, Part)
        yield part


class _Closed(Exception):
    """The consumer of the outcomes has stopped."""


_CANCELLED = pickle.dumps(("unread", "reading was ended before"))


class _Reply:
    """The messages of a worker on a task: a queue between the worker's thread and the consumer."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.sent = False
        self._messages: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()

    def put(self, kind: bytes, data: bytes, closed: threading.Event) -> None:
        """Add a message; blocks while MESSAGES are waiting. Raises _Closed."""
        # Not a bounded queue.Queue: creating one takes 8 us, of 200 us for a small file.
        while self._messages.qsize() >= MESSAGES and not closed.wait(0.02):
            pass
        if closed.is_set():
            self._messages.put((protocol.PROBLEM, _CANCELLED))  # a waiting consumer must not hang
            raise _Closed
        self._messages.put((kind, data))

    def outcome(self) -> Outcome:
        kind, data = self._messages.get()
        if kind == protocol.PROBLEM:
            return Outcome(self.task, problem=Problem(*pickle.loads(data)))
        outcome: Outcome = pickle.loads(data)
        if not outcome.complete:
            outcome.rest = self._rest()
        return outcome

    def _rest(self) -> Iterator[Part]:
        while True:
            kind, data = self._messages.get()
            if kind == protocol.END:
                return
            if kind == protocol.PROBLEM:
                raise Problem(*pickle.loads(data)).error()
            yield pickle.loads(data)


class _Workers:
    """A thread for each worker process, which sends it tasks and receives its messages."""

    def __init__(self, reading: Reading, on_page: Callable[[str], None] | None = None) -> None:
        self._reading, self._on_page = reading, on_page
        self._closed = threading.Event()
        self._threads: ThreadPoolExecutor | None = None
        self._local = threading.local()
        self._processes: list[_Process] = []

    def submit(self, batch: list[_Reply]) -> None:
        if self._threads is None:
            count = min(MAX_WORKERS, usable_processors())
            self._threads = ThreadPoolExecutor(count, thread_name_prefix="qrank-reader")
            threading.Thread(target=self._watch, daemon=True).start()
        for reply in batch:
            reply.sent = True
        self._threads.submit(self._serve, batch)

    def close(self) -> None:
        self._closed.set()
        for process in list(self._processes):
            process.kill()
        if self._threads:
            self._threads.shutdown(wait=True, cancel_futures=True)
        for process in self._processes:
            process.end(0)

    def _watch(self) -> None:
        """Kill the workers that have exceeded their time."""
        while not self._closed.wait(0.25):
            for process in list(self._processes):
                if time.monotonic() > process.deadline:
                    process.overdue = True
                    process.kill()

    def _serve(self, batch: list[_Reply]) -> None:
        try:
            while batch and not self._closed.is_set():
                process = getattr(self._local, "process", None)
                if process is None:
                    process = self._local.process = _Process(self._reading)
                    self._processes.append(process)
                batch = self._read_batch(process, batch)
        except _Closed:
            pass
        except Exception as error:  # without messages, the consumer would wait forever
            data = pickle.dumps(("unread", problem_of(error).reason))
            for reply in batch:
                with contextlib.suppress(_Closed):
                    reply.put(protocol.PROBLEM, data, self._closed)

    def _read_batch(self, process: _Process, batch: list[_Reply]) -> list[_Reply]:
        """Have a worker read a batch; returns the rest of it when the worker dies."""
        process.send([reply.task for reply in batch])
        for number, reply in enumerate(batch):
            process.deadline = time.monotonic() + 2 * self._reading.timeout + 5
            if (reply.task.reading or self._reading).ocr:  # there, each page has a time limit
                process.deadline = float("inf")
            kind, seconds, paged = b"", 0.0, False
            try:
                while kind not in protocol.LAST:
                    started = time.monotonic()
                    kind, data = process.receive()
                    seconds += time.monotonic() - started
                    if kind != protocol.PAGE:
                        reply.put(kind, data, self._closed)
                    elif self._on_page:
                        page, count = pickle.loads(data)
                        name = PurePath(reply.task.path).name
                        self._on_page(f"{name}, page {page} of {count}")
                        paged = True
            except EOFError:
                reason = process.end(self._reading.timeout)
                self._processes.remove(process)
                self._local.process = None
                data = pickle.dumps(("failed", reason))
                reply.put(protocol.PROBLEM, data, self._closed)
                return batch[number + 1 :]
            finally:
                process.deadline = float("inf")
                if paged and self._on_page:
                    self._on_page("")
                if seconds >= SLOW:
                    log.info("read %s in %.1f s", reply.task.path, seconds)
        return []


class _Process:
    """A worker process. deadline: when it is killed, on the monotonic clock."""

    def __init__(self, reading: Reading) -> None:
        self.deadline = float("inf")
        self.overdue = False
        self._stopped = False
        self._runs_command = bool(reading.pre)
        # -P: do not import modules from the working folder.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "qrank.ingest.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.send(reading)

    def send(self, value: object) -> None:
        """Send an object to the worker. Errors are ignored: receive raises when it has ended."""
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.write(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
            self._process.stdin.flush()

    def receive(self) -> tuple[bytes, bytes]:
        """The next message. Raises EOFError when the worker has ended."""
        assert self._process.stdout
        header = self._process.stdout.read(protocol.HEADER.size)
        if len(header) < protocol.HEADER.size:
            raise EOFError
        kind, length = protocol.HEADER.unpack(header)
        data = self._process.stdout.read(length)
        if len(data) < length:
            raise EOFError
        return kind, data

    def kill(self) -> None:
        """Kill it. If it may be running a user's command, first send SIGTERM, so that it kills
        that."""
        self._stopped = True
        if self._runs_command:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                self._process.terminate()
                self._process.wait(TERMINATE_SECONDS)
        with contextlib.suppress(OSError):
            self._process.kill()

    def end(self, timeout: float) -> str:
        """Wait for its end; returns the reason of it."""
        try:  # its pipes close a moment before it ends
            code = self._process.wait(0 if self._stopped else 1)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        if self.overdue or -code == getattr(signal, "SIGXCPU", None):
            return f"took longer than {timeout:g} s"
        if code == protocol.OUT_OF_MEMORY:
            return protocol.MEMORY_REASON
        if code < 0:
            return f"its parser crashed ({signal_name(-code)})"
        return f"its parser exited with status {code}"
