"""A sign of life during a search, naming the stage it is in."""

from __future__ import annotations

import threading

from rich.console import Console

from qrank.closing import Closing

DELAY = 0.5  # seconds before anything is shown
WORDS = {
    "bm25": "searching keywords",
    "embed": "embedding the query",
    "vector": "comparing vectors",
    "rerank": "reranking",
}


class Spinner(Closing):
    """qrank.progress.Progress, drawn on stderr; it is gone when the search is done."""

    def __init__(self) -> None:
        self._status = Console(stderr=True).status("searching…")
        self._timer = threading.Timer(DELAY, self._status.start)
        self._timer.daemon = True
        self._name, self._done = "", 0
        self._total: int | None = None
        self._timer.start()

    def close(self) -> None:
        """Take it away."""
        self._timer.cancel()
        self._timer.join()
        self._status.stop()

    def stage(self, name: str, total: int | None) -> None:
        """Name the stage."""
        self._name, self._total, self._done = WORDS.get(name, name), total, 0
        self._status.update(f"{self._name}…")

    def advance(self, amount: int = 1) -> None:
        """Say how far it is."""
        self._done += amount
        self._status.update(f"{self._name} {self._done}/{self._total}…")
