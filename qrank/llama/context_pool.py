"""Packs through a model, several beside each other where that is faster than with all threads.

With several threads a context waits at every operation for its slowest thread. A small model's
operations take microseconds: the waiting costs a third of the time on an idle machine, and nearly
all of it beside other busy programs, which hold one of the threads up again and again. So a small
model gets several contexts of one thread each, which wait for nobody.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from qrank.llama.context import Pack, Prefixed, pack_tokens, packs
from qrank.llama.engine import Model

SMALL = 100_000_000  # weights that every token goes through: more are faster with all threads
MOST = 16  # lanes: each has buffers of its own


class Lane(Protocol):
    """A context."""

    @property
    def decoded(self) -> int:
        """How many tokens it has computed."""

    def close(self) -> None:
        """Free its memory."""


L = TypeVar("L", bound=Lane)
T = TypeVar("T")


class Lanes(Generic[L]):
    """The contexts of one model. Several threads may use them: a pack is in one context alone."""

    def __init__(self, model: Model, make: Callable[[Model, int], L]) -> None:
        """make: a context for the model and so many threads, which takes its memory only when it
        gets a pack."""
        self._model = model
        self.pack_tokens = pack_tokens(model)
        count = lanes_for(model)
        self._lanes = [make(model, max(1, model.threads // count)) for _ in range(count)]
        self._idle = list(self._lanes)  # the last one used comes first
        self._workers = ThreadPoolExecutor(count, "qrank-model")
        self._closed = False
        self._changed = threading.Condition()

    @property
    def decoded(self) -> int:
        """How many tokens the model has computed."""
        return sum(lane.decoded for lane in self._lanes)

    def packs(self, sequences: Iterable[Prefixed]) -> Iterator[Pack]:
        """The sequences, in order, in packs of a size that is good for the model."""
        return packs(sequences, self.pack_tokens)

    def run(self, coming: Iterable[Pack], work: Callable[[L, Pack], T]) -> Generator[T, None, None]:
        """Yield what work returns for each pack, in order, as soon as it is there. Packs are taken
        from the iterable in this thread, while those before them are at work.

        Raises ModelError when the model is closed meanwhile.
        """
        waiting: deque[Future[T]] = deque()

        def at_work(lane_pack: Pack) -> T:
            with self._changed:
                if self._closed:
                    raise CancelledError
                lane = self._idle.pop()
            try:
                return work(lane, lane_pack)
            finally:
                with self._changed:
                    self._idle.append(lane)
                    self._changed.notify_all()

        try:
            for pack in coming:
                waiting.append(self._workers.submit(at_work, pack))
                # One more than there are lanes: who is done finds a next pack waiting.
                while len(waiting) > len(self._lanes) + 1 or (waiting and waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except (CancelledError, RuntimeError) as error:
            if self._closed:
                raise self._model.was_closed() from error
            raise
        finally:
            for job in waiting:
                job.cancel()

    def close(self) -> None:
        """Free the contexts, when what they are at is done; the model must still be there."""
        self._workers.shutdown(wait=False, cancel_futures=True)
        # Not by waiting for the workers: the executor does not know of a thread in whose start a
        # signal has come.
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: len(self._idle) == len(self._lanes))
        for lane in self._lanes:
            lane.close()


def lanes_for(model: Model) -> int:
    """How many contexts are best: one where a device computes, or the model is large."""
    return 1 if model.on_gpu or is_large(model) else min(model.threads, MOST)


def is_large(model: Model) -> bool:
    """Whether each token takes long on a CPU."""
    return model.file.weights_a_token > SMALL
