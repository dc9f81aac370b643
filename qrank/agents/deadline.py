"""A search that must have answered after some seconds, if need be in a plainer order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class CancelledError(Exception):
    """Nobody waits for the search any more."""


class Cancellable:
    """A progress (`qrank.Progress`) that ends the search at its next step once it is cancelled."""

    def __init__(self, *others: Cancellable) -> None:
        """others: when one of them is cancelled, this is, too."""
        self._event = threading.Event()
        self._others = others

    def cancel(self) -> None:
        """End the search at its next step."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether it is to end."""
        return self._event.is_set() or any(other.cancelled for other in self._others)

    def stage(self, name: str, total: int | None) -> None:
        """A stage begins. Raises CancelledError."""
        self.advance()

    def advance(self, amount: int = 1) -> None:
        """So much more of it is done. Raises CancelledError."""
        if self.cancelled:
            raise CancelledError


@dataclass(frozen=True, slots=True)
class Attempt:
    """A way to answer, and how many seconds are waited for it; None: until it has."""

    run: Callable[[Cancellable], object]
    seconds: float | None
    executor: Executor


def first_in_time(attempts: Sequence[Attempt], outer: Cancellable) -> tuple[int, object]:
    """The answer of the first attempt that comes in its time, and which one that was; what takes
    longer is cancelled and goes on to its next step beside the following attempt. Raises what an
    attempt raises that was in time."""
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
