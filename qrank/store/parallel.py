"""Reading with several threads, each on its own connection. SQLite and numpy release the GIL while
they work."""

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
    """Everything read inside is of one snapshot of the database."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        with suppress(sqlite3.Error):  # closed before the context was left, or damaged
            connection.execute("COMMIT")


def threads_for(connection: sqlite3.Connection, most: int) -> int:
    """How many threads to use where there is work for most."""
    if connection.in_transaction:  # only this connection sees uncommitted changes
        return 1
    return max(1, min(usable_processors(), MOST_THREADS, most))


def gather(
    connection: sqlite3.Connection,
    connect: Callable[[], sqlite3.Connection],
    parts: Sequence[Callable[[sqlite3.Connection], T]],
) -> list[T]:
    """The results of parts, in order: the first runs on this connection, each of the others in a
    thread on a connection that connect opens. An exception is raised after all have ended."""
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
