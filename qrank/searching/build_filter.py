"""What a user says of the files to search -> the store's filter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from types import NoneType

from qrank.arguments import require_type, text_list
from qrank.names import path_globs, path_names
from qrank.store.filters import Filter

MOST_NS = (1 << 63) // 10**9 * 10**9  # whole seconds that fit into an integer of SQLite's


def build_filter(
    collections: str | Sequence[str] = (),
    path: str | None = None,
    types: str | Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
) -> Filter:
    """The filter; types are names of formats, or suffixes of files with or without a dot. Raises
    TypeError for an argument of another type.

    >>> build_filter(types=["html", ".Foo"]).suffixes
    ('.html', '.htm', '.xhtml', '.Foo')
    """
    require_type("path", path, str, NoneType)
    require_type("since", since, datetime, NoneType)
    require_type("until", until, datetime, NoneType)
    names = text_list("types", types)
    return Filter(
        collections=tuple(text_list("collections", collections)),
        names=path_names(path) if path else (),
        paths=path_globs(path) if path else (),
        suffixes=_suffixes(names) if names else (),
        since_ns=_ns(since) if since else None,
        until_ns=_ns(until) if until else None,
    )


def _ns(moment: datetime) -> int:
    """A time in ns since 1970. One before 1678 or after 2262 becomes the first or the last that
    the store can compare with: no file is older, or newer.

    >>> _ns(datetime(9999, 12, 31)) == MOST_NS, _ns(datetime(1, 1, 1)) == -MOST_NS
    (True, True)
    """
    try:
        ns = moment.timestamp() * 1e9
    except (ValueError, OverflowError):  # in the first and the last year, by the time zone
        ns = math.inf if moment.year > 1970 else -math.inf
    return int(max(-MOST_NS, min(ns, MOST_NS)))


def _suffixes(types: Sequence[str]) -> tuple[str, ...]:
    known = formats()
    suffixes = [suffix for name in types for suffix in known.get(name.lower(), [name])]
    return tuple(dict.fromkeys("." + suffix.lstrip(".") for suffix in suffixes))


def formats() -> dict[str, list[str]]:
    """The names of formats, each with its suffixes."""
    from qrank.ingest.extract import FORMATS  # 20 ms that most searches need not wait

    return {known.name: known.suffixes.split() for known in FORMATS}
