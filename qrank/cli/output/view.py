"""What people ask to see of results, and how a place in a file is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """How each result is shown."""

    around: int | None = None  # lines of context
    full: bool = False
    explain: bool = False
    link: str = ""  # the format of hyperlinks


SHORT = View()


def with_place(path: str, first: int, last: int | None, page: int | None) -> str:
    """A place in a file as it can be pasted: PATH#page=N in a format with pages, whose lines are
    only those of the text that was made of it; else PATH:FROM-TO, or PATH:LINE without a last."""
    if page is not None:
        from qrank.standalone import has_lines

        if not has_lines(path):
            return f"{path}#page={page}"
    return f"{path}:{first}" if last is None else f"{path}:{first}-{last}"
