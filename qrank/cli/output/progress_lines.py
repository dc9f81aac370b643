"""The progress of a long run where no line can be redrawn: one line per minute."""

from __future__ import annotations

import time
from collections.abc import Callable

from qrank.cli.output.escape import escape_line
from qrank.progress import Counting

EVERY = 60.0  # seconds between two lines


class Lines(Counting):
    """qrank.progress.Progress, as lines."""

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        times: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """say prints a line. times: also one at the end of each stage, with how long it took.
        clock: seconds that pass."""
        super().__init__()
        self._say, self._times, self._clock = say, times, clock
        self._began = self._printed_at = clock()

    def stage(self, name: str, total: int | None) -> None:
        """A stage begins, and the one before ends."""
        self._end()
        super().stage(name, total)
        self._began = self._clock()

    def advance(self, amount: int = 1) -> None:
        """So much more of it is done."""
        super().advance(amount)
        self._say_at_times()

    def detail(self, text: str) -> None:
        """This within a step takes long."""
        super().detail(text)
        self._say_at_times()

    def close(self) -> None:
        """The last stage ends."""
        self._end()

    def _say_at_times(self) -> None:
        now = self._clock()
        if now - self._printed_at >= EVERY:
            self._printed_at = now
            self._say(f"{escape_line(self.name)}: {self.steps}".rstrip(": "))

    def _end(self) -> None:
        if self._times and self.name:
            steps = f"{self.steps}, " if self.steps else ""
            self._say(f"{self.name}: {steps}{self._clock() - self._began:.2f} s")
