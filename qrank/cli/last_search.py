"""The results of the last search in a terminal, so that `qrank open 1` can find the first."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from qrank.cli.state import Run
from qrank.errors import InputError
from qrank.results import Result
from qrank.serve import places
from qrank.urls import IndexPlace, index_place

KEPT = 100  # results


def remember(results: Sequence[Result], index: IndexPlace) -> None:
    """Keep the ids of results, each with its index (by default this one), when this is run in a
    terminal."""
    file = _file()
    if file is None or not results:
        return
    own = str(index.absolute())
    ids = {result.rank: [result.id, result.index or own] for result in results[:KEPT]}
    with suppress(OSError):  # it is a convenience
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text(json.dumps({"results": ids}), "utf-8")


def recalled(word: str, run: Run) -> str:
    """The id of a result, for a number that stands for one of the last search; the index that it
    was of becomes the run's. Any other word is given back.

    Raises InputError when there was no such result.
    """
    if not (word.isascii() and word.isdigit()) or len(word) > len(str(KEPT)):
        return word
    file = _file()
    try:
        search = json.loads(file.read_text("utf-8")) if file else {}
        results = search.get("results", {})
        id, index = map(str, results.get(word) or ("", ""))
    except (OSError, ValueError, TypeError, AttributeError):
        results, id, index = {}, "", ""
    if not id:
        reason = f"its last one is {max(map(int, results))}" if results else ""
        reason = reason or "no search was made in this terminal"
        raise InputError(
            f"there is no result {word} of the last search: {reason}",
            hint="numbers mean its results; give the id of a chunk, or PATH:LINE",
        )
    place = index_place(index)
    if not run.dbs:
        run.dbs = (place,)
        run.recalled = True
    elif run.recalled and run.dbs != (place,):
        raise InputError(
            f"result {word} of the last search is from another index than those before it",
            hint="name one at a time",
        )
    return id


def _file() -> Path | None:
    """Where the last search of this terminal is kept; None without one."""
    terminal = next((name for stream in (2, 1, 0) if (name := _terminal(stream))), "")
    if not terminal:
        return None
    name = f"{terminal}\0{places.session()}"
    key = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    from platformdirs import user_cache_path

    return user_cache_path("qrank", appauthor=False) / "last" / f"{key}.json"


def _terminal(stream: int) -> str:
    try:
        if os.isatty(stream):
            return os.ttyname(stream) if hasattr(os, "ttyname") else "console"
    except OSError:
        pass
    return ""
