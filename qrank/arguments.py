"""What callers of the Python API pass: a single value means a list of one, numbers are checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypedDict


class FilterOptions(TypedDict, total=False):
    """Which files a search looks at, as `Index.search` and the command line's options name it."""

    collections: Sequence[str]
    path: str | None
    types: Sequence[str]
    since: datetime | None
    until: datetime | None


def path_list(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Paths, of one or of several.

    >>> [str(path) for path in path_list("notes")], [str(path) for path in path_list(["a", "b"])]
    (['notes'], ['a', 'b'])
    """
    return [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]


def text_list(texts: str | Iterable[str]) -> list[str]:
    """Texts, of one or of several.

    >>> text_list("md"), text_list(("md", "txt"))
    (['md'], ['md', 'txt'])
    """
    return [texts] if isinstance(texts, str) else list(texts)


def require_count(name: str, value: int | None) -> None:
    """Raise ValueError unless value is None or a whole number from 1."""
    if value is not None and (not isinstance(value, int) or value < 1):
        raise ValueError(f"{name} must be a whole number from 1, not {value!r}")


def require_number(name: str, value: float | None, *, least: float = -math.inf) -> None:
    """Raise ValueError unless value is None or a number from least."""
    if value is not None and not value >= least:  # NaN is not, either
        bound = f" from {least:g}" if least > -math.inf else ""
        raise ValueError(f"{name} must be a number{bound}, not {value!r}")
