"""How a long run tells where it is; the command line draws it, a library call need not."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told of each stage as it begins, and of each step in it."""

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
