"""What people ask to see of results."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """What people see of each result."""

    around: int | None = None  # lines of context
    full: bool = False
    explain: bool = False
    link: str = ""  # the format of hyperlinks


SHORT = View()
