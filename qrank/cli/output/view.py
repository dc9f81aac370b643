"""The options for showing results to people, and the format of locations."""

from __future__ import annotations

from typing import NamedTuple

from qrank.analysis.formats import has_lines


class View(NamedTuple):
    """How each result is shown."""

    around: int | None = None  # lines of context
    full: bool = False
    explain: bool = False
    link: str = ""  # the format of hyperlinks


SHORT = View()


def with_place(path: str, first: int, last: int | None, page: int | None) -> str:
    """A location in a file: PATH#page=N for a format with pages, which has no line numbers, else
    PATH:FIRST-LAST, or PATH:LINE when last is None."""
    if page is not None and not has_lines(path):
        return f"{path}#page={page}"
    return f"{path}:{first}" if last is None else f"{path}:{first}-{last}"
