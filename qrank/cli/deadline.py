"""`--deadline`: printing the best results that a search has found within a time limit."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qrank.results import Answer

STARTING = 0.15  # seconds: the interpreter's start, before measuring begins
PRINTING = 0.1  # seconds that are reserved for printing


class Best:
    """A progress (`qrank.Progress`) that records the best answer so far."""

    def __init__(self) -> None:
        self.answer: Answer | None = None

    def stage(self, name: str, total: int | None) -> None:
        """Nothing."""

    def advance(self, amount: int = 1) -> None:
        """Nothing."""

    def draft(self, answer: Answer) -> None:
        """Record a copy of an answer, which the search may still change."""
        from copy import copy

        self.answer = copy(answer)


def left(seconds: float, started: float) -> float:
    """The seconds that are left for searching. started: of the command, by time.monotonic()."""
    return max(0.0, seconds - STARTING - PRINTING - (time.monotonic() - started))


def within(
    seconds: float, quick: Callable[[], Answer], whole: Callable[[Best], Answer]
) -> tuple[Answer | None, bool]:
    """Run quick() and then whole() in a thread; returns (the best answer within so many seconds or
    None, whether whole() has finished).

    quick searches keywords only, so that there is an answer early. A thread is needed because
    loading a model can't be interrupted. Raises what quick or whole raise.
    """
    best = Best()
    done = threading.Event()
    answers: list[Answer] = []
    problem: list[BaseException] = []

    def run() -> None:
        try:
            best.answer = quick()
            answers.append(whole(best))
        except BaseException as error:
            problem.append(error)
        done.set()

    threading.Thread(target=run, daemon=True).start()
    done.wait(seconds)
    if problem:
        raise problem[0]
    if answers:
        return answers[0], True
    if best.answer:
        best.answer.truncated = True
    return best.answer, False


def end(status: int) -> None:
    """Exit at once, without waiting for the search's thread."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)
