"""Searching while somebody types: each text supersedes the one before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from qrank.api import Index
from qrank.results import Answer, Mode

LIMIT = 30
PAUSE = 0.4  # seconds without a key before the reranker is asked


class _SupersededError(Exception):
    """Another text was typed in the meantime."""


class Searcher:
    """An index in a thread of its own, where its SQLite connection has to stay."""

    def __init__(
        self,
        index: Index,
        collections: Sequence[str],
        path: Sequence[str],
        deliver: Callable[[Answer | Exception, str, str], object],
    ) -> None:
        """deliver is called, in that thread, with each answer or error, the stage it is of:
        "words", then "meaning", then "reranked", and what is to be said of it."""
        self._index = index
        self._collections, self._path = collections, path
        self._deliver = deliver
        self._newest = 0
        self._changed = threading.Event()
        self._thread = ThreadPoolExecutor(1)

    def ask(self, text: str) -> None:
        """Search for text; what is still going on for another one is dropped."""
        self._newest += 1
        self._changed.set()
        self._thread.submit(self._run, self._newest, text)

    def close(self) -> None:
        """End, and close the index."""
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
        watch = _Watch(lambda: number == self._newest)
        try:
            for stage, (mode, rerank) in stages.items():
                if rerank and self._changed.wait(PAUSE):
                    return
                if mode is Mode.hybrid and not self._index.has_vectors() and not rerank:
                    continue
                watch.stage(stage, None)
                answer = self._index.search(
                    text,
                    mode=mode,
                    rerank=rerank,
                    limit=LIMIT,
                    collections=self._collections,
                    path=self._path,
                    unfinished=not text[-1:].isspace(),
                    progress=watch,
                )
                note = ""
                if mode is not Mode.bm25:
                    note = "; ".join(answer.notices) or self._index.far_off(answer)
                if number == self._newest:
                    self._deliver(answer, stage, note)
        except _SupersededError:
            return
        except Exception as error:
            self._deliver(error, "", "")


class _Watch:
    """A qrank.progress.Progress that ends a search nobody waits for any more."""

    def __init__(self, is_wanted: Callable[[], bool]) -> None:
        self._is_wanted = is_wanted

    def stage(self, name: str, total: int | None) -> None:
        """Before a stage."""
        self.advance()

    def advance(self, amount: int = 1) -> None:
        """After a step of it."""
        if not self._is_wanted():
            raise _SupersededError
