"""The progress of a search on a terminal: its stage, and the results so far."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner as Sign
from rich.text import Text

from qrank.closing import Closing
from qrank.results import Answer

DELAY = 0.5  # seconds before anything is shown
WORDS = {
    "bm25": "searching keywords",
    "embed": "embedding the query",
    "vector": "comparing vectors",
    "rerank": "reranking",
}


class Spinner(Closing):
    """A qrank.progress.Progress that shows a spinner on stderr, and above it, with draw, the answer
    so far; both are removed at the end. latest: the answer so far, or None."""

    def __init__(self, draw: Callable[[Answer], Text] | None = None) -> None:
        self.latest: Answer | None = None
        self._draw = draw
        self._console = Console(stderr=True)
        self._sign = Sign("dots", "searching…", style="status.spinner")
        self._lines: list[Text] = []
        self._name, self._done = "", 0
        self._total: int | None = None
        self._live = Live(get_renderable=self._render, console=self._console, transient=True)
        self._timer = threading.Timer(DELAY, self._live.start)
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """Remove it."""
        self._timer.cancel()
        self._timer.join()
        self._live.stop()

    def stage(self, name: str, total: int | None) -> None:
        """Show the name of a stage."""
        self._name, self._total, self._done = WORDS.get(name, name), total, 0
        self._sign.update(text=f"{self._name}…")

    def advance(self, amount: int = 1) -> None:
        """Show the progress within the stage."""
        self._done += amount
        self._sign.update(text=f"{self._name} {self._done}/{self._total}…")

    def draft(self, answer: Answer) -> None:
        """Show the answer so far."""
        self.latest = answer
        if self._draw:
            self._lines = list(self._draw(answer).split("\n", allow_blank=True))

    def _render(self) -> RenderableType:
        return Group(*self._lines[: max(0, self._console.height - 3)], self._sign)
