"""Searching while the user types: each query cancels the one before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from qrank.api import Index
from qrank.results import Answer, Mode

LIMIT = 30
PAUSE = 0.4  # seconds without a key press before results are reranked


class _CancelledError(Exception):
    """Another query has been typed."""


class Searcher:
    """Searches an index in a thread, where its SQLite connection has to stay."""

    def __init__(
        self,
        index: Index,
        collections: Sequence[str],
        path: Sequence[str],
        deliver: Callable[[Answer | Exception, str, str], object],
    ) -> None:
        """deliver is called, in that thread, with each answer or error, its stage ("words", then
        "meaning", then "reranked"), and a notice."""
        self._index = index
        self._collections, self._path = collections, path
        self._deliver = deliver
        self._newest = 0
        self._changed = threading.Event()
        self._thread = ThreadPoolExecutor(1)

    def search(self, text: str) -> None:
        """Search for text; a search that is running is cancelled."""
        self._newest += 1
        self._changed.set()
        self._thread.submit(self._run, self._newest, text)

    def close(self) -> None:
        """End the thread, and close the index."""
        self._newest += 1
        self._changed.set()
        self._thread.submit(self._index.close)
        self._thread.shutdown()

    def _run(self, number: int, text: str) -> None:
        if number != self._newest:
            return
        self._changed.clear()
        stages: dict[str, tuple[Mode, bool]] = {
            "words": (Mode.bm25, False),
            "meaning": (Mode.hybrid, False),
            "reranked": (Mode.hybrid, True),
        }
        progress = _Progress(lambda: number == self._newest)
        try:
            for stage, (mode, rerank) in stages.items():
                if rerank and self._changed.wait(PAUSE):
                    return
                if mode is Mode.hybrid and not self._index.has_vectors() and not rerank:
                    continue
                progress.stage(stage, None)
                answer = self._index.search(
                    text,
                    mode=mode,
                    rerank=rerank,
                    limit=LIMIT,
                    collections=self._collections,
                    path=self._path,
                    unfinished=not text[-1:].isspace(),
                    progress=progress,
                )
                note = ""
                if mode is not Mode.bm25:
                    note = "; ".join(answer.notices) or self._index.far_off(answer)
                if number == self._newest:
                    self._deliver(answer, stage, note)
        except _CancelledError:
            return
        except Exception as error:
            self._deliver(error, "", "")


class _Progress:
    """A qrank.progress.Progress that cancels a search which is not the newest any more."""

    def __init__(self, is_newest: Callable[[], bool]) -> None:
        self._is_newest = is_newest

    def stage(self, name: str, total: int | None) -> None:
        """Raises _CancelledError."""
        self.advance()

    def advance(self, amount: int = 1) -> None:
        """Raises _CancelledError."""
        if not self._is_newest():
            raise _CancelledError
