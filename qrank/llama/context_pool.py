"""A pool of contexts of one model, which compute batches in parallel where that is faster.

A context with several threads waits at every operation for the slowest one. A small model's
operations take microseconds, so a third of the time is spent waiting on an idle machine, and nearly
all of it beside other busy programs, which delay one thread or another. So a small model gets
several contexts of one thread each.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from qrank.llama.context import Batch, Prefixed, batch_tokens, batches
from qrank.llama.engine import Model

SMALL = 100_000_000  # weights per token: larger models are faster with all threads in one context
MOST = 16  # contexts, since each has its own buffers


class Context(Protocol):
    """A context, as the pool uses it."""

    @property
    def decoded(self) -> int:
        """How many tokens it has decoded."""

    def close(self) -> None:
        """Free its memory."""


C = TypeVar("C", bound=Context)
T = TypeVar("T")


class ContextPool(Generic[C]):
    """The contexts of one model. Thread-safe; each batch is computed by one context."""

    def __init__(self, model: Model, make: Callable[[Model, int], C]) -> None:
        """make(model, threads) returns a context, which must not allocate memory before its first
        batch."""
        self._model = model
        self.batch_tokens = batch_tokens(model)
        count = contexts_for(model)
        self._contexts = [make(model, max(1, model.threads // count)) for _ in range(count)]
        self._idle = list(self._contexts)  # a stack: the last one used is taken first
        self._workers = ThreadPoolExecutor(count, "qrank-model")
        self._closed = False
        self._changed = threading.Condition()

    @property
    def decoded(self) -> int:
        """How many tokens have been decoded."""
        return sum(context.decoded for context in self._contexts)

    def batches(self, sequences: Iterable[Prefixed]) -> Iterator[Batch]:
        """Split sequences, in order, into batches of the best size for the model."""
        return batches(sequences, self.batch_tokens)

    def run(
        self, batches: Iterable[Batch], work: Callable[[C, Batch], T]
    ) -> Generator[T, None, None]:
        """Yield work(context, batch) for each batch, in order. Batches are taken from the iterable
        in the calling thread, while earlier ones are computed.

        Raises ModelError when the model is closed meanwhile.
        """
        futures: deque[Future[T]] = deque()

        def compute(one: Batch) -> T:
            with self._changed:
                if self._closed:
                    raise CancelledError
                context = self._idle.pop()
            try:
                return work(context, one)
            finally:
                with self._changed:
                    self._idle.append(context)
                    self._changed.notify_all()

        try:
            for batch in batches:
                futures.append(self._workers.submit(compute, batch))
                # One more than there are contexts, so that a free one has its next batch at once.
                while len(futures) > len(self._contexts) + 1 or (futures and futures[0].done()):
                    yield futures.popleft().result()
            while futures:
                yield futures.popleft().result()
        except (CancelledError, RuntimeError) as error:
            if self._closed:
                raise self._model.closed_error() from error
            raise
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """Free the contexts, after the batches that are being computed; call it before the model
        is freed."""
        self._workers.shutdown(wait=False, cancel_futures=True)
        # shutdown(wait=True) is not enough: if a signal interrupts the start of a thread, the
        # executor does not know of that thread.
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: len(self._idle) == len(self._contexts))
        for context in self._contexts:
            context.close()


def contexts_for(model: Model) -> int:
    """How many contexts are fastest: one for a large model, and on a GPU."""
    return 1 if model.on_gpu or is_large(model) else min(model.threads, MOST)


def is_large(model: Model) -> bool:
    """Whether the model has more than SMALL weights per token."""
    return model.file.weights_per_token > SMALL
