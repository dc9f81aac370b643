"""The options that select files -> the store's filter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from types import NoneType
from typing import TYPE_CHECKING

from qrank.analysis.fields import seconds
from qrank.arguments import require_type, text_list
from qrank.errors import InputError
from qrank.names import path_globs, path_names
from qrank.searching.file_types import suffixes_of
from qrank.searching.where import conditions as parsed
from qrank.store.filters import Condition, FileTest, Filter

if TYPE_CHECKING:
    from qrank.store.interface import Store

MOST_NS = (1 << 63) // 10**9 * 10**9  # whole seconds that fit into an integer of SQLite's


def build_filter(
    collections: str | Sequence[str] = (),
    path: str | Sequence[str] | None = None,
    types: str | Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    where: str | Sequence[str] = (),
    links_to: str | None = None,
    linked_from: str | None = None,
    store: Store | None = None,
) -> Filter:
    """Build the store's filter from the options that select files.

    path: a file, a folder or a glob, or several. types: names of formats, families of formats, or
    suffixes with or without a dot. where: conditions on fields (where.py); these and the links
    need a store. Raises TypeError for an argument of another type, InputError for a condition that
    can't be parsed, and for a time range that is empty.

    >>> build_filter(types=["html", ".Foo"]).suffixes
    ('.html', '.htm', '.xhtml', '.Foo')
    """
    require_type("since", since, datetime, NoneType)
    require_type("until", until, datetime, NoneType)
    paths = [] if path is None else [each for each in text_list("path", path) if each]
    names = text_list("types", types)
    texts = text_list("where", where)
    conditions: tuple[Condition, ...] = ()
    if texts and store:
        conditions = parsed(store, texts)
    if "" in (links_to, linked_from):
        raise InputError("--links-to or --linked-from is empty", hint="name an indexed file")
    if store and (links_to or linked_from):
        conditions += _linked(store, links_to, linked_from)
    if len(paths) > 1:
        any_of = [FileTest(names=path_names(each), paths=path_globs(each)) for each in paths]
        conditions = (Condition(tuple(any_of)), *conditions)
    if since and until and _ns(since) >= _ns(until):
        raise InputError(
            f"nothing is dated from {since:%Y-%m-%d} on (--since) and before {until:%Y-%m-%d} "
            "(--until)",
            hint="--since takes the earlier date",
        )
    one = paths[0] if len(paths) == 1 else ""
    return Filter(
        collections=tuple(text_list("collections", collections)),
        names=path_names(one) if one else (),
        paths=path_globs(one) if one else (),
        suffixes=suffixes_of(names) if names else (),
        since_ns=_ns(since) if since else None,
        until_ns=_ns(until) if until else None,
        conditions=conditions,
    )


def _linked(store: Store, to: str | None, by: str | None) -> tuple[Condition, ...]:
    """The conditions for --links-to and --linked-from."""
    from qrank.searching.places.links import Graph

    graph = Graph(store)
    targets: list[set[str]] = []
    if to:
        targets.append(graph.sources(graph.location(to)))
    if by:
        targets.append({link.to for link in graph.outgoing(graph.location(by)) if link.to})
    nothing = FileTest(column="path", text="\0")
    return tuple(
        Condition(tuple(FileTest(names=(path,)) for path in sorted(paths)) or (nothing,))
        for paths in targets
    )


def _ns(moment: datetime) -> int:
    """A time in ns since 1970, clipped to what fits into 64 bits (years 1678 to 2262).

    >>> _ns(datetime(9999, 12, 31)) == MOST_NS, _ns(datetime(1, 1, 1)) == -MOST_NS
    (True, True)
    """
    try:
        ns = seconds(moment) * 1e9
    except (ValueError, OverflowError):  # in the first and the last year, by the time zone
        ns = math.inf if moment.year > 1970 else -math.inf
    return int(max(-MOST_NS, min(ns, MOST_NS)))
