"""Reading with several threads, each on a connection of its own. SQLite and numpy let go of the
interpreter's lock while they work."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TypeVar

from qrank.processors import usable_processors

MOST_THREADS = 4

T = TypeVar("T")


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """What is read inside is of one moment."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        with suppress(sqlite3.Error):  # closed before who read it was done, or damaged
            connection.execute("COMMIT")


def threads_for(connection: sqlite3.Connection, most: int) -> int:
    """How many threads are worth it when there is work for so many."""
    if connection.in_transaction:  # only this connection sees what it has written
        return 1
    return max(1, min(usable_processors(), MOST_THREADS, most))


def gather(
    connection: sqlite3.Connection,
    connect: Callable[[], sqlite3.Connection],
    parts: Sequence[Callable[[sqlite3.Connection], T]],
) -> list[T]:
    """What each of parts returns, the first on this connection, each other in a thread with one
    that connect opens. An exception of any of them is raised when all are done."""
    results: dict[int, T] = {}
    failures: list[BaseException] = []

    def work(i: int) -> None:
        try:
            if i == 0:
                with snapshot(connection):
                    results[i] = parts[i](connection)
            else:
                with closing(connect()) as own, snapshot(own):
                    results[i] = parts[i](own)
        except BaseException as error:
            failures.append(error)

    helpers = [threading.Thread(target=work, args=(i,)) for i in range(1, len(parts))]
    for helper in helpers:
        helper.start()
    work(0)
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]
    return [results[i] for i in range(len(parts))]
