"""What a user says of the files to search -> the store's filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from qrank.store.filters import Filter


def narrowed(
    collections: Sequence[str] = (),
    path: str | None = None,
    suffixes: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
) -> Filter:
    """The filter; suffixes are ends of names, with or without a dot, or formats.

    >>> narrowed(suffixes=["html", ".Foo"]).suffixes
    ('.html', '.htm', '.xhtml', '.Foo')
    """
    return replace(
        Filter.of(tuple(collections), path),
        suffixes=_ends(suffixes) if suffixes else (),
        since_ns=int(since.timestamp() * 1e9) if since else None,
        until_ns=int(until.timestamp() * 1e9) if until else None,
    )


def _ends(names: Sequence[str]) -> tuple[str, ...]:
    known = formats()
    ends = [end for name in names for end in known.get(name.lower(), [name])]
    return tuple(dict.fromkeys("." + end.lstrip(".") for end in ends))


def formats() -> dict[str, list[str]]:
    """The names of formats, each with its suffixes."""
    from qrank.ingest.extract import FORMATS  # 20 ms that most searches need not wait

    return {known.name: known.suffixes.split() for known in FORMATS}
