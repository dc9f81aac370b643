"""Estimating how many candidates a reranker can score within a time limit (--answer-within).

The reranker's rate, in bytes per second, is measured in earlier searches on this machine. Bytes
predict the number of tokens better than characters, across scripts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from qrank.store.cache import Cache

FEWEST = 5  # candidates: reranking fewer is not worth the wait
USUAL_SIZE = 1000  # assumed bytes of a candidate, before there are any
T = TypeVar("T")


def may_be_enough(cache: Cache, model: str, seconds: float) -> bool:
    """Whether the reranker can probably score FEWEST candidates in so many seconds; True when its
    rate has not been measured. model: its hash."""
    rate = cache.reading_rate(model)
    return rate is None or (seconds - rate[1]) * rate[0] >= FEWEST * USUAL_SIZE


class TimeLimit:
    """The time left for reranking, and how many candidates fit into it."""

    def __init__(self, cache: Cache, model: str, seconds: float, sizes: Sequence[int]) -> None:
        """seconds: left for reranking. sizes: bytes of the candidates, in order."""
        self._cache, self._model = cache, model
        self._end = time.monotonic() + seconds
        self._sizes = sizes
        self._rate, self._load = cache.reading_rate(model) or (0.0, 0.0)
        self._loading = self._scoring = 0.0  # seconds, of this search
        self._bytes = 0  # scored by this search
        self._started = 0.0

    def fitting(self, cached: Collection[int]) -> int:
        """How many of the first candidates can be scored in time; all when no rate is known.
        cached: the numbers of the candidates whose scores are cached."""
        room = (self._end - time.monotonic() - self._load) * self._rate
        for place, size in enumerate(self._sizes):
            room -= 0 if place in cached else size
            if self._rate and room < 0:
                return place
        return len(self._sizes)

    def enough(self, count: int) -> bool:
        """Whether reranking only so many candidates is worth it."""
        return count >= min(FEWEST, len(self._sizes))

    def needed(self) -> float:
        """The estimated seconds for loading the model and scoring all candidates."""
        rate = self._rate or (self._bytes / self._scoring if self._scoring else 0.0)
        return self._load + sum(self._sizes) / rate if rate else 0.0

    @contextmanager
    def loading(self, use: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
        """Use the model, and measure how long it takes to load; scoring time starts after that."""
        load_started = time.monotonic()
        with use() as model:
            self._started = time.monotonic()
            self._loading = self._started - load_started
            yield model

    def after(self, places: Collection[int]) -> bool:
        """Record that a batch was scored; whether there is time for another one like it. When no
        rate was known before, also whether FEWEST candidates will fit."""
        now = time.monotonic()
        before, self._scoring = self._scoring, now - self._started
        self._bytes += sum(self._sizes[place] for place in places)
        if not self._rate:
            last = max(places, default=0)
            rate = self._bytes / max(self._scoring, 1e-6)
            rest = sum(self._sizes[last + 1 : min(FEWEST, len(self._sizes))])
            if now + rest / rate > self._end:
                return False
        return now + (self._scoring - before) <= self._end

    def keep(self) -> None:
        """Store the measured rate and load time, averaged with the previous ones."""
        if not self._bytes or self._scoring <= 0:
            return
        rate, load = self._bytes / self._scoring, self._loading
        if self._rate:
            rate, load = (rate + self._rate) / 2, (load + self._load) / 2
        self._cache.put_reading_rate(self._model, rate, load)
