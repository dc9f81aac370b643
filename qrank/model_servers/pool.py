"""Several servers sharing the work: each takes the next task when it is free."""

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
    """The servers that connect gets an answer from. One that does not answer is skipped with a
    warning when there are others; what one answers wrongly is raised."""
    servers_up: list[Server] = []
    silent: list[ServerError] = []
    for server in servers:
        try:
            connect(server)
            servers_up.append(server)
        except ServerError as error:
            if error.status_code is not None:
                raise
            silent.append(error)
    if not servers_up:
        raise silent[0]
    for gone in silent:
        log.warning("%s; continuing with the other servers", gone)
    return servers_up


def spread(
    servers: list[Server],
    tasks: Iterable[T],
    ask: Callable[[Server, T], R],
    in_flight: int,
) -> Iterator[R]:
    """Yield ask(server, task) of all tasks, in order; up to in_flight tasks a server at once.

    A server that fails is skipped, and its tasks go to the others; the last one's error is
    raised. Tasks are taken as they are needed, by the calling thread. The workers are daemons:
    an interrupt does not wait for answers.
    """
    waiting: SimpleQueue[tuple[int, T] | None] = SimpleQueue()
    answers: SimpleQueue[tuple[int, T, R | None, Exception | None]] = SimpleQueue()
    gone: set[int] = set()
    lock = threading.Lock()

    def work(server: Server) -> None:
        while (given := waiting.get()) is not None:
            place, task = given
            try:
                answers.put((place, task, ask(server, task), None))
            except ServerError as error:
                if error.status_code is not None:  # it answered: the others would, too
                    answers.put((place, task, None, error))
                    continue
                with lock:
                    gone.add(id(server))
                    last = len(gone) == len(servers)
                if last:
                    answers.put((place, task, None, error))
                else:
                    log.warning("%s; continuing with the other servers", error)
                    waiting.put(given)
                return
            except Exception as error:
                answers.put((place, task, None, error))

    workers = [
        threading.Thread(target=work, args=(server,), daemon=True)
        for server in servers
        for _ in range(in_flight)
    ]
    for worker in workers:
        worker.start()
    try:
        yield from _in_order(tasks, waiting, answers, 2 * len(workers))
    finally:
        for _ in workers:
            waiting.put(None)


def _in_order(
    tasks: Iterable[T],
    waiting: SimpleQueue[tuple[int, T] | None],
    answers: SimpleQueue[tuple[int, T, R | None, Exception | None]],
    most: int,
) -> Iterator[R]:
    """Hand out tasks, most of them ahead of what was yielded; yield the answers in order."""
    source = enumerate(tasks)
    done: dict[int, R] = {}
    given = next_number = 0
    exhausted = False
    while True:
        while not exhausted and given - next_number < most:
            following = next(source, None)
            if following is None:
                exhausted = True
            else:
                waiting.put(following)
                given += 1
        if next_number == given:
            return
        while next_number not in done:
            place, _, answer, error = answers.get()
            if error is not None:
                raise error if isinstance(error, QrankError) else RuntimeError(str(error))
            done[place] = answer  # type: ignore[assignment]
        yield done.pop(next_number)
        next_number += 1
