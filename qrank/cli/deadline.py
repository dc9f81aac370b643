"""`--deadline`: a search that has answered after some seconds, with the best there is by then."""

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

STARTING = 0.15  # seconds that the interpreter has taken before anything is measured
PRINTING = 0.1  # seconds, about, that are left to print what was found


class Best:
    """The best answer so far; a progress (`qrank.Progress`) that a search tells of it."""

    def __init__(self) -> None:
        self.answer: Answer | None = None

    def stage(self, name: str, total: int | None) -> None:
        """Nothing."""

    def advance(self, amount: int = 1) -> None:
        """Nothing."""

    def draft(self, answer: Answer) -> None:
        """Keep an answer that may still change."""
        from copy import copy

        self.answer = copy(answer)


def left(seconds: float, started: float) -> float:
    """Seconds until the command must print. started: when it began, by time.monotonic()."""
    return max(0.0, seconds - STARTING - PRINTING - (time.monotonic() - started))


def within(
    seconds: float, quick: Callable[[], Answer], whole: Callable[[Best], Answer]
) -> tuple[Answer | None, bool]:
    """(the best answer there is after so many seconds, None when there is none; whether it is the
    whole one's).

    quick is asked first, by keywords alone, so that there is something. Both run in a thread, for
    loading a model, or a file system, can't be interrupted. Raises what quick or whole raise.
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
    """End the process at once, whatever the search's thread still does."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)
