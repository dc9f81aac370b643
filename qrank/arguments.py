"""Checking the arguments of the Python API. Errors name the argument."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import Any, TypedDict, TypeVar

E = TypeVar("E", bound=StrEnum)


class FilterOptions(TypedDict, total=False):
    """Which documents to search.

    path: a file, a folder or a glob, or several. types: names of formats ("markdown"), families
    ("mail") or suffixes ("md"). since (inclusive), until (exclusive): the document's own date, else
    the file's time of modification. where: conditions on fields, all of which must hold
    ("tags=travel", "date>=2026-06"). links_to, linked_from: only documents that link to this
    indexed document, or that it links to.
    """

    collections: str | Sequence[str]
    path: str | Sequence[str] | None
    types: str | Sequence[str]
    since: datetime | None
    until: datetime | None
    where: str | Sequence[str]
    links_to: str | None
    linked_from: str | None


def require_type(name: str, value: object, *types: type) -> None:
    """Raise TypeError unless value is of one of types; a bool does not count as an int."""
    if isinstance(value, types) and (not isinstance(value, bool) or bool in types):
        return
    names = ["None" if kind is NoneType else kind.__name__ for kind in types]
    raise TypeError(f"{name} must be {' or '.join(names)}, not {value!r}")


def path_list(name: str, paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """One path or several as a list. Raises TypeError for anything else.

    >>> [str(path) for path in path_list("paths", ["a", Path("b")])], path_list("paths", ())
    (['a', 'b'], [])
    """
    return [Path(path) for path in _items(name, paths, (str, os.PathLike))]


def text_list(name: str, texts: str | Iterable[str]) -> list[str]:
    """One text or several as a list. Raises TypeError for anything else.

    >>> text_list("types", "md"), text_list("types", ("md", "txt"))
    (['md'], ['md', 'txt'])
    """
    return _items(name, texts, (str,))


def _items(name: str, value: Any, types: tuple[type, ...]) -> list[Any]:
    if isinstance(value, types):
        return [value]
    items = list(value) if isinstance(value, Iterable) else [value]
    for item in items:
        if not isinstance(item, types):
            raise TypeError(f"{name} must be of {types[0].__name__}, not {item!r}")
    return items


def require_choice(name: str, value: E | str, choices: type[E]) -> E:
    """The member of choices for a value. Raises ValueError when there is none."""
    try:
        return choices(value)
    except ValueError:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}") from None


def require_count(name: str, value: int | None, *, least: int = 1, optional: bool = False) -> None:
    """Raise ValueError unless value is an integer of at least `least`, or None if optional."""
    if value is None and optional:
        return
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number from {least}, not {value!r}")


def require_number(name: str, value: float | None, *, least: float = -math.inf) -> None:
    """Raise ValueError unless value is None or a number of at least `least`."""
    if value is None:
        return
    if not isinstance(value, Real) or isinstance(value, bool) or not value >= least:  # NaN is not
        bound = f" from {least:g}" if least > -math.inf else ""
        raise ValueError(f"{name} must be a number{bound}, not {value!r}")


def moment(name: str, text: str, *, end: bool) -> datetime:
    """The start, or the end, of a date that the user wrote: a day, a month, a year, a time, or one
    relative to now. Raises InputError for what is no date.

    >>> moment("--until", "2026-02", end=True)
    datetime.datetime(2026, 3, 1, 0, 0)
    """
    from qrank.analysis.fields import date_span
    from qrank.errors import InputError

    span = date_span(text, datetime.now())
    if span is None:
        raise InputError(
            f"{name} takes a date, not {text!r}",
            hint="write YYYY-MM-DD, YYYY-MM, YYYY-MM-DDThh:mm, yesterday or 2w (d, w, m, y)",
        )
    seconds = span[1] if end else span[0]
    try:
        return datetime.fromtimestamp(seconds)
    except (ValueError, OverflowError):  # beyond an end of the calendar
        return datetime.max if seconds > 0 else datetime.min


def require_progress(value: object) -> None:
    """Raise TypeError unless value is None or has the methods of `qrank.Progress`."""
    if value is not None and not (hasattr(value, "stage") and hasattr(value, "advance")):
        raise TypeError(f"progress must have the methods stage and advance, not be {value!r}")
