"""The progress of a long run without a terminal: one line per minute."""

from __future__ import annotations

import time
from collections.abc import Callable

from qrank.cli.output.escape import escape_line
from qrank.progress import Counting

EVERY = 60.0  # seconds between two lines


class Lines(Counting):
    """A qrank.progress.Progress that prints lines."""

    def __init__(
        self,
        print_line: Callable[[str], None],
        *,
        times: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """times: also print a line at the end of each stage, with its duration. clock: returns
        seconds."""
        super().__init__()
        self._print, self._times, self._clock = print_line, times, clock
        self._started = self._printed_at = clock()

    def stage(self, name: str, total: int | None) -> None:
        """End the current stage, and start another."""
        self._end()
        super().stage(name, total)
        self._started = self._clock()

    def advance(self, amount: int = 1) -> None:
        """Count steps, and print a line if the last one is a minute old."""
        super().advance(amount)
        self._print_if_due()

    def detail(self, text: str) -> None:
        """Set the detail of the current step, and print a line if the last one is a minute old."""
        super().detail(text)
        self._print_if_due()

    def close(self) -> None:
        """End the last stage."""
        self._end()

    def _print_if_due(self) -> None:
        now = self._clock()
        if now - self._printed_at >= EVERY:
            self._printed_at = now
            self._print(f"{escape_line(self.name)}: {self.steps}".rstrip(": "))

    def _end(self) -> None:
        if self._times and self.name:
            steps = f"{self.steps}, " if self.steps else ""
            self._print(f"{self.name}: {steps}{self._clock() - self._started:.2f} s")
