"""Receivers of the progress of a long run, which the command line shows."""

from __future__ import annotations

from typing import Protocol

from qrank.closing import Closing


class Progress(Protocol):
    """Is notified of the start of each stage, and of the steps in it. It may also have a method
    detail(text), which is called, from any thread, with what takes long within a step (a page of a
    scan), and with "" when that is done."""

    def stage(self, name: str, total: int | None) -> None:
        """A stage starts. total: the number of steps; None: unknown."""

    def advance(self, amount: int = 1) -> None:
        """So many steps of the stage are done."""


class Silent:
    """Ignores the progress."""

    def stage(self, name: str, total: int | None) -> None:
        """Do nothing."""

    def advance(self, amount: int = 1) -> None:
        """Do nothing."""


class Counting(Closing):
    """Counts the steps, and shows nothing."""

    def __init__(self) -> None:
        self._stage, self._done, self._detail = "", 0, ""
        self._total: int | None = None

    def close(self) -> None:
        """Nothing to close."""

    @property
    def place(self) -> str:
        """The stage and the number of steps done, for a message."""
        if not self._stage:
            return "at its start"
        return f"while {self._stage} ({self.steps or 0} done)"

    @property
    def name(self) -> str:
        """The stage and the detail."""
        return f"{self._stage} {self._detail}".rstrip()

    @property
    def steps(self) -> str:
        """The number of steps done, and the total if it is known; "" without any."""
        if self._total is not None:
            return f"{self._done} of {self._total}"
        return str(self._done) if self._done else ""

    def stage(self, name: str, total: int | None) -> None:
        """Start a stage."""
        self._stage, self._total, self._done, self._detail = name, total, 0, ""

    def advance(self, amount: int = 1) -> None:
        """Count steps."""
        self._done += amount

    def detail(self, text: str) -> None:
        """Set the detail; "" removes it."""
        self._detail = text
