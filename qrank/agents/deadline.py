"""Searching with a deadline: if an attempt takes too long, a simpler one is tried."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class CancelledError(Exception):
    """The search was cancelled."""


class Cancellable:
    """A progress (`qrank.Progress`) with which a search can be cancelled. Thread-safe."""

    def __init__(self, *others: Cancellable) -> None:
        """others: when one of them is cancelled, this one is, too."""
        self._event = threading.Event()
        self._others = others

    def cancel(self) -> None:
        """Cancel the search: it ends at its next step."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._event.is_set() or any(other.cancelled for other in self._others)

    def stage(self, name: str, total: int | None) -> None:
        """Raises CancelledError if it was cancelled."""
        self.advance()

    def advance(self, amount: int = 1) -> None:
        """Raises CancelledError if it was cancelled."""
        if self.cancelled:
            raise CancelledError


@dataclass(frozen=True, slots=True)
class Attempt:
    """A function to run in an executor, and its timeout in seconds; None: no timeout."""

    run: Callable[[Cancellable], object]
    seconds: float | None
    executor: Executor


def first_in_time(attempts: Sequence[Attempt], outer: Cancellable) -> tuple[int, object]:
    """The (index, result) of the first attempt that finishes within its timeout. One that takes
    longer is cancelled, and may still run until its next step. Raises what an attempt raises within
    its timeout; outer: cancels all. The last attempt must have no timeout."""
    for number, attempt in enumerate(attempts):
        progress = Cancellable(outer)
        job: Future[object] = attempt.executor.submit(attempt.run, progress)
        try:
            return number, job.result(attempt.seconds)
        except TookTooLong:
            if job.done():  # it raised a TimeoutError itself
                raise
            progress.cancel()
            job.cancel()
    raise AssertionError("the last attempt has no end")
