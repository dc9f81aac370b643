"""Estimating how many candidates a reranker can read within a time limit.

How fast it reads them is known from the searches before on this machine: bytes a second, since
these tell more of the number of tokens than characters do, in any script.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from qrank.store.cache import Cache

FEWEST = 5  # candidates: fewer change too little to be worth the wait
USUAL_SIZE = 1000  # bytes of a candidate, before they are known
T = TypeVar("T")


def may_be_enough(cache: Cache, model: str, seconds: float) -> bool:
    """Whether so many seconds are likely to be enough for a reranker, before the candidates are
    known: True where its rate is not known either."""
    rate = cache.reading_rate(model)
    return rate is None or (seconds - rate[1]) * rate[0] >= FEWEST * USUAL_SIZE


class Promise:
    """The time that is left for reranking, and what fits into it."""

    def __init__(self, cache: Cache, model: str, seconds: float, sizes: Sequence[int]) -> None:
        """seconds: what is left of the search's time. sizes: bytes of the candidates, in order."""
        self._cache, self._model = cache, model
        self._end = time.monotonic() + seconds
        self._sizes = sizes
        self._rate, self._load = cache.reading_rate(model) or (0.0, 0.0)
        self._loading = self._reading = 0.0  # seconds of this search
        self._read = 0  # bytes
        self._started = 0.0

    def fitting(self, cached: Collection[int]) -> int:
        """How many of the first candidates can be read in time: all where no rate is known. cached:
        those whose answer is cached."""
        room = (self._end - time.monotonic() - self._load) * self._rate
        for place, size in enumerate(self._sizes):
            room -= 0 if place in cached else size
            if self._rate and room < 0:
                return place
        return len(self._sizes)

    def enough(self, count: int) -> bool:
        """Whether so many candidates are worth reading."""
        return count >= min(FEWEST, len(self._sizes))

    def needed(self) -> float:
        """About how many seconds all candidates take."""
        rate = self._rate or (self._read / self._reading if self._reading else 0.0)
        return self._load + sum(self._sizes) / rate if rate else 0.0

    @contextmanager
    def loading(self, use: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
        """A model in use; from when it is ready its time counts as reading."""
        begun = time.monotonic()
        with use() as model:
            self._started = time.monotonic()
            self._loading = self._started - begun
            yield model

    def after(self, places: Collection[int]) -> bool:
        """Takes note of a batch that was read, and returns whether there is time for another one
        like it, and, where no rate was known, whether enough of them will fit."""
        now = time.monotonic()
        before, self._reading = self._reading, now - self._started
        self._read += sum(self._sizes[place] for place in places)
        if not self._rate:
            last = max(places, default=0)
            rate = self._read / max(self._reading, 1e-6)
            rest = sum(self._sizes[last + 1 : min(FEWEST, len(self._sizes))])
            if now + rest / rate > self._end:
                return False
        return now + (self._reading - before) <= self._end

    def keep(self) -> None:
        """Remember how fast this search's candidates were read, halfway from what was known."""
        if not self._read or self._reading <= 0:
            return
        rate, load = self._read / self._reading, self._loading
        if self._rate:
            rate, load = (rate + self._rate) / 2, (load + self._load) / 2
        self._cache.put_reading_rate(self._model, rate, load)
