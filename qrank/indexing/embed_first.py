"""Embedding texts before they are written, for stores that rewrite a chunk to add its vector."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from qrank.chunk_text import text_for_models
from qrank.inference.index_model import IndexModel, record
from qrank.inference.loading import LazyEmbedder, group_size
from qrank.ingest.prepare import Outcome
from qrank.results import location
from qrank.store.interface import Store, StoredModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Limit for embedding the texts of one transaction. With a slower model, writing twice hardly
# matters: then texts are written first, so that they can be searched while others are embedded.
MOST_SECONDS = 10.0


class EmbedFirst:
    """Embeds the texts of each transaction: prepare before it, write inside it."""

    def __init__(self, store: Store, model: IndexModel, embedder: LazyEmbedder) -> None:
        self._store, self._model, self._embedder = store, model, embedder
        self._vectors: dict[bytes, NDArray[np.float32]] = {}  # by the hash of the unique text
        self._truncated: set[bytes] = set()
        self._row: StoredModel | None = None
        self._is_slow = False
        self.embedded = 0  # texts that were written with their vectors

    def prepare(self, group: Iterable[Outcome]) -> None:
        """Embed the texts of files that are not in the index yet; nothing once the model was found
        to be slow."""
        self._vectors, self._truncated = {}, set()
        if self._is_slow:
            return
        texts = dict(_texts(group))
        stored = self._store.text_ids(list(texts))
        if len(stored) == len(texts):
            return
        loaded = self._embedder.get()
        new = iter([each for each in texts if each not in stored])
        size, deadline = group_size(self._model.choice), time.monotonic() + MOST_SECONDS
        sent: list[list[bytes]] = []

        def groups() -> Iterator[list[str]]:
            while hashes := list(islice(new, size)):
                sent.append(hashes)
                yield [texts[each] for each in hashes]
                if time.monotonic() > deadline:
                    self._is_slow = True
                    return

        for number, embedded in enumerate(loaded.stream(groups())):
            self._vectors.update(zip(sent[number], embedded.vectors, strict=True))
            self._truncated.update(sent[number][i] for i in embedded.truncated)
        self._row = self._row or record(self._store, self._model, loaded.dims)

    def write(self) -> None:
        """Add the prepared vectors of texts that this transaction has written. Writes."""
        import numpy as np

        ids = self._store.text_ids(list(self._vectors))
        row = self._row
        if row is None or not ids:
            return
        rows = np.stack([self._vectors[each] for each in ids])
        self._store.add_vectors(row.id, list(ids.values()), rows)
        self._store.mark_truncated(
            row.id, [i for each, i in ids.items() if each in self._truncated]
        )
        self.embedded += len(ids)


def _texts(group: Iterable[Outcome]) -> Iterator[tuple[bytes, str]]:
    """(hash, text for the model) of the chunks of files."""
    for outcome in group:
        first = outcome.first
        place = location(outcome.task.path, first.member or None)
        for new in first.chunks:
            heading, text = new.chunk.heading, new.chunk.text
            yield new.unique_hash, text_for_models(first.title, heading, text, place)
