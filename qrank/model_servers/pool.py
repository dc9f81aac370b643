"""Distributing requests over several servers: each gets the next task when it is free."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import TypeVar

from qrank.errors import QrankError
from qrank.model_servers.client import Server, ServerError

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger("qrank")


def reachable(servers: Iterable[Server], connect: Callable[[Server], None]) -> list[Server]:
    """The servers that respond to connect(server). If some do not respond, they are skipped with a
    warning. Raises ServerError when none responds, and for an error in a response."""
    available: list[Server] = []
    unreachable: list[ServerError] = []
    for server in servers:
        try:
            connect(server)
            available.append(server)
        except ServerError as error:
            if error.status_code is not None:
                raise
            unreachable.append(error)
    if not available:
        raise unreachable[0]
    for failure in unreachable:
        log.warning("%s; continuing with the other servers", failure)
    return available


def spread(
    servers: list[Server],
    tasks: Iterable[T],
    request: Callable[[Server, T], R],
    in_flight: int,
) -> Iterator[R]:
    """Yield request(server, task) of all tasks, in order, with up to in_flight requests per server
    at a time.

    If a server does not respond, its tasks go to the others; the error of the last one is raised,
    and any error in a response. Tasks are taken from the iterable in the calling thread, as they
    are needed. The workers are daemon threads, so that Ctrl-C does not wait for responses.
    """
    queue: SimpleQueue[tuple[int, T] | None] = SimpleQueue()
    results: SimpleQueue[tuple[int, R | None, Exception | None]] = SimpleQueue()
    failed: set[int] = set()
    lock = threading.Lock()

    def work(server: Server) -> None:
        while (item := queue.get()) is not None:
            number, task = item
            try:
                results.put((number, request(server, task), None))
            except ServerError as error:
                if error.status_code is not None:  # other servers would respond the same
                    results.put((number, None, error))
                    continue
                with lock:
                    failed.add(id(server))
                    last = len(failed) == len(servers)
                if last:
                    results.put((number, None, error))
                else:
                    log.warning("%s; continuing with the other servers", error)
                    queue.put(item)
                return
            except Exception as error:
                results.put((number, None, error))

    workers = [
        threading.Thread(target=work, args=(server,), daemon=True)
        for server in servers
        for _ in range(in_flight)
    ]
    for worker in workers:
        worker.start()
    try:
        yield from _in_order(tasks, queue, results, 2 * len(workers))
    finally:
        for _ in workers:
            queue.put(None)


def _in_order(
    tasks: Iterable[T],
    queue: SimpleQueue[tuple[int, T] | None],
    results: SimpleQueue[tuple[int, R | None, Exception | None]],
    ahead: int,
) -> Iterator[R]:
    """Put tasks into the queue, at most `ahead` more than results were yielded; yield the results
    in the order of the tasks."""
    source = enumerate(tasks)
    done: dict[int, R] = {}
    queued = next_number = 0
    exhausted = False
    while True:
        while not exhausted and queued - next_number < ahead:
            item = next(source, None)
            if item is None:
                exhausted = True
            else:
                queue.put(item)
                queued += 1
        if next_number == queued:
            return
        while next_number not in done:
            number, result, error = results.get()
            if error is not None:
                raise error if isinstance(error, QrankError) else RuntimeError(str(error))
            done[number] = result  # type: ignore[assignment]
        yield done.pop(next_number)
        next_number += 1
