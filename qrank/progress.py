"""The progress of a long run; the command line draws it, a library call need not."""

from __future__ import annotations

from typing import Protocol

from qrank.closing import Closing


class Progress(Protocol):
    """Is notified of each stage as it begins, and of each step in it. One that has `detail(text)`,
    too, is called with what takes long within a step (a page of a scan), and by an empty text that
    it is over; it may be called by any thread."""

    def stage(self, name: str, total: int | None) -> None:
        """A stage begins; total is in the unit that advance counts, None when unknown."""

    def advance(self, amount: int = 1) -> None:
        """So much more of the stage is done."""


class Silent:
    """No progress shown."""

    def stage(self, name: str, total: int | None) -> None:
        """Nothing."""

    def advance(self, amount: int = 1) -> None:
        """Nothing."""


class Counting(Closing):
    """Nothing shown; knows where the run is."""

    def __init__(self) -> None:
        self._stage, self._done, self._detail = "", 0, ""
        self._total: int | None = None

    def close(self) -> None:
        """Nothing to close."""

    @property
    def place(self) -> str:
        """The stage, and how far it is, in words."""
        if not self._stage:
            return "at its start"
        return f"while {self._stage} ({self.steps or 0} done)"

    @property
    def name(self) -> str:
        """The stage, and what in it takes long."""
        return f"{self._stage} {self._detail}".rstrip()

    @property
    def steps(self) -> str:
        """How many of the stage's steps are done, of how many; empty when it has none."""
        if self._total is not None:
            return f"{self._done} of {self._total}"
        return str(self._done) if self._done else ""

    def stage(self, name: str, total: int | None) -> None:
        """A stage begins."""
        self._stage, self._total, self._done, self._detail = name, total, 0, ""

    def advance(self, amount: int = 1) -> None:
        """So much more of it is done."""
        self._done += amount

    def detail(self, text: str) -> None:
        """This within a step takes long; empty: no more."""
        self._detail = text
