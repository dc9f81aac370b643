"""The results of the last search in a terminal, for `qrank open 1`."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from qrank.cli.state import Run
from qrank.errors import InputError
from qrank.files import user_folder
from qrank.results import Result
from qrank.serve import places
from qrank.urls import IndexPlace, index_place

MOST = 100  # results that are stored


def store(results: Sequence[Result], index: IndexPlace) -> None:
    """Store the ids of results, with their indexes (by default this one), if there is a
    terminal."""
    file = _file()
    if file is None or not results:
        return
    own = str(index.absolute())
    ids = {result.rank: [result.id, result.index or own] for result in results[:MOST]}
    with suppress(OSError):  # it is only a convenience
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text(json.dumps({"results": ids}), "utf-8")


def resolve(word: str, run: Run) -> str:
    """The id of a result of the last search, if word is its number; the run then uses that
    result's index. Any other word is returned as it is.

    Raises InputError when there was no such result.
    """
    if not (word.isascii() and word.isdigit()) or len(word) > len(str(MOST)):
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
            hint="give the id of a chunk, or PATH:LINE",
        )
    place = index_place(index)
    if not run.dbs:
        run.dbs = (place,)
        run.from_last_search = True
    elif run.from_last_search and run.dbs != (place,):
        raise InputError(
            f"result {word} of the last search is from another index than those before it",
            hint="name one at a time",
        )
    return id


def _file() -> Path | None:
    """The file for the last search of this terminal; None without a terminal."""
    terminal = next((name for stream in (2, 1, 0) if (name := _terminal(stream))), "")
    if not terminal:
        return None
    import hashlib  # takes 3 ms

    name = f"{terminal}\0{places.session()}"
    key = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    return user_folder("cache") / "last" / f"{key}.json"


def _terminal(stream: int) -> str:
    try:
        if os.isatty(stream):
            return os.ttyname(stream) if hasattr(os, "ttyname") else "console"
    except OSError:
        pass
    return ""
