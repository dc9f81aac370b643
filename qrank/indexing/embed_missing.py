"""Embedding texts without a vector; several runs at once share the work by claims."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain, islice
from typing import TYPE_CHECKING

from qrank.chunk_text import text_for_models
from qrank.errors import IndexFileError
from qrank.inference.index_model import IndexModel, record, switch
from qrank.inference.loading import Embedder, LazyEmbedder, group_size
from qrank.progress import Progress
from qrank.store.interface import ChunkText, Claims, Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A transaction is written when one of these is reached.
COMMIT_SECONDS, COMMIT_VECTORS = 2.0, 1024
WAIT_SECONDS = 0.1  # between polls for texts that another run is embedding
MAX_OTHERS = 100_000  # unique texts claimed by other runs that are kept in memory
SILENT_POLLS = 30  # before a message: the other run commits every COMMIT_SECONDS

log = logging.getLogger("qrank")


def embed_missing(
    store: Store, model: IndexModel, lazy: LazyEmbedder, progress: Progress
) -> tuple[int, list[str]]:
    """Embed every unique text without a vector, then make the model the only one of the index.
    Waits for texts that another run has claimed, and embeds them if that run ends before they
    are done. Returns (the number of texts embedded here, the names of the replaced models)."""
    if not store.count_chunks():
        return 0, []
    if model.stored and next(store.missing_vectors(model.stored.id), None) is None:
        return 0, switch(store, model.stored) if model.settles else []
    embedder = lazy.get()
    row = record(store, model, embedder.dims)
    with store.claims() as claims:
        run = _Run(store, row.id, embedder, group_size(model.choice), claims, progress)
        embedded = run.embed_all()
    return embedded, switch(store, row) if model.settles else []


def embed_texts(
    store: Store,
    model: int,
    use: Callable[[], AbstractContextManager[Embedder]],
    hashes: Sequence[bytes],
    left: Callable[[], float],
) -> None:
    """Embed the unique texts with these hashes, one by one, while there is time. model: its id in
    the store; use: loads it; left: returns the seconds that are left."""
    missing = store.without_vector(model, [*store.text_ids(hashes).values()])
    if not missing or left() <= 0:
        return
    with use() as embedder:
        most = 0.0
        for text_id in missing:
            started = time.monotonic()
            if left() <= most:
                return
            chunks = store.texts_to_embed([text_id])
            embedded = embedder.documents([_text(chunk) for chunk in chunks])
            with store.transaction():
                ids = [chunk.id for chunk in chunks]
                store.add_vectors(model, ids, embedded.vectors)
                store.mark_truncated(model, [ids[i] for i in embedded.truncated])
            most = max(most, time.monotonic() - started)


def _text(chunk: ChunkText) -> str:
    return text_for_models(chunk.title, chunk.heading, chunk.text, chunk.path)


class _Run:
    """The embedding part of one run."""

    def __init__(
        self,
        store: Store,
        model: int,
        embedder: Embedder,
        size: int,
        claims: Claims,
        progress: Progress,
    ) -> None:
        """model: its id in the store. size: texts per call of the embedder."""
        self._store, self._model = store, model
        self._embedder, self._size = embedder, size
        self._claims, self._progress = claims, progress
        self._others: list[int] = []  # unique texts that other runs had claimed

    def embed_all(self) -> int:
        """Embed until no unique text lacks a vector; returns how many texts this run embedded."""
        self._progress.stage("embedding", self._store.count_missing(self._model)[0])
        missing = self._store.missing_vectors(self._model)
        pending: list[int] = []  # unique texts that other runs had claimed before
        embedded = 0
        polls = 0  # of texts of other runs, without work for this one
        while True:
            self._others, rest = [], iter(pending)
            done = self._embed_free(chain(rest, missing))
            embedded += done
            pending = [*self._store.without_vector(self._model, self._others), *rest]
            self._progress.advance(len(self._others) - len(pending))
            if not pending and len(self._others) < MAX_OTHERS:  # missing was read to its end
                return embedded
            if not done:  # no deadlock: this run has no claims while it waits
                polls += 1
                if polls == SILENT_POLLS:
                    log.warning(
                        "waiting for another qrank process that is embedding %d texts",
                        len(pending),
                    )
                time.sleep(WAIT_SECONDS)

    def _embed_free(self, missing: Iterator[int]) -> int:
        """Embed the unique texts that no other run has claimed; returns how many."""
        import numpy as np

        ids: list[int] = []
        truncated: list[int] = []
        vectors: list[NDArray[np.float32]] = []
        sent: deque[list[int]] = deque()  # the text ids of groups without a result yet

        def texts() -> Iterator[list[str]]:
            for group in self._groups(missing):
                chunks = self._store.texts_to_embed(group)
                if chunks:  # another run may have removed them
                    sent.append([chunk.id for chunk in chunks])
                    yield [_text(chunk) for chunk in chunks]

        def write() -> None:
            nonlocal ids, vectors, truncated
            if ids:
                with self._store.transaction():
                    self._require_model()
                    self._store.add_vectors(self._model, ids, np.concatenate(vectors))
                    self._store.mark_truncated(self._model, truncated)
                self._claims.release(ids)
            ids, vectors, truncated = [], [], []

        embedded = 0
        written = time.monotonic()
        try:
            for result in self._embedder.stream(texts()):
                done = sent.popleft()
                vectors.append(result.vectors)
                ids.extend(done)
                truncated.extend(done[i] for i in result.truncated)
                embedded += len(done)
                self._progress.advance(len(done))
                if len(ids) >= COMMIT_VECTORS or time.monotonic() - written > COMMIT_SECONDS:
                    write()
                    written = time.monotonic()
        finally:  # also when interrupted, so that no computed vector is lost
            write()
            self._claims.release()
        return embedded

    def _require_model(self) -> None:
        """Raise IndexFileError when another run has replaced the model."""
        if all(model.id != self._model for model in self._store.models()):
            raise IndexFileError(
                f"{self._store.path} was moved to another embedding model by another run",
                hint="run qrank index again",
            )

    def _groups(self, missing: Iterator[int]) -> Iterator[list[int]]:
        """Claim unique texts group by group, until MAX_OTHERS are claimed by other runs; yield the
        ids of those that this run is to embed."""
        group: list[int] = []
        while len(self._others) < MAX_OTHERS and (some := list(islice(missing, self._size))):
            claimed = self._claims.take(some)
            self._others += set(some).difference(claimed)
            # Another run may have embedded some since they were listed.
            lacking = self._store.without_vector(self._model, claimed)
            self._progress.advance(len(claimed) - len(lacking))
            group += lacking
            while len(group) >= self._size:
                yield group[: self._size]
                group = group[self._size :]
        if group:
            yield group
