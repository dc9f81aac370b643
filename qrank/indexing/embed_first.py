"""Embedding texts before they are written, for a store that would write chunks again to add their
vectors."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from qrank.chunk_text import model_text
from qrank.inference.index_model import IndexModel, record
from qrank.inference.loading import LazyEmbedder, group_size
from qrank.ingest.prepare import Outcome
from qrank.markup import readable
from qrank.results import location
from qrank.store.interface import Store, StoredModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# What the texts of one transaction may take. A model that needs longer is so slow that writing
# twice hardly matters: the texts are written first then, so that they can be searched meanwhile.
MOST_SECONDS = 10.0


class EmbedFirst:
    """Embeds the texts of one transaction after the other."""

    def __init__(self, store: Store, model: IndexModel, embedder: LazyEmbedder) -> None:
        self._store, self._model, self._embedder = store, model, embedder
        self._vectors: dict[bytes, NDArray[np.float32]] = {}  # by the hash of the unique text
        self._truncated: set[bytes] = set()
        self._row: StoredModel | None = None
        self._is_slow = False
        self.embedded = 0  # texts that were written with their vectors

    def prepare(self, group: Iterable[Outcome]) -> None:
        """Embed those texts of files that are not in the index yet."""
        self._vectors, self._truncated = {}, set()
        if self._is_slow:
            return
        texts = dict(_texts(group))
        known = self._store.text_ids(list(texts))
        if len(known) == len(texts):
            return
        loaded = self._embedder.get()
        new = iter([each for each in texts if each not in known])
        size, deadline = group_size(self._model.choice), time.monotonic() + MOST_SECONDS
        sent: list[list[bytes]] = []

        def groups() -> Iterator[list[str]]:
            while hashes := list(islice(new, size)):
                sent.append(hashes)
                yield [texts[each] for each in hashes]
                if time.monotonic() > deadline:
                    self._is_slow = True
                    return

        for number, made in enumerate(loaded.stream(groups())):
            self._vectors.update(zip(sent[number], made.vectors, strict=True))
            self._truncated.update(sent[number][i] for i in made.truncated)
        self._row = self._row or record(self._store, self._model, loaded.dims)

    def write(self) -> None:
        """Add the vectors to the texts that were written in this transaction."""
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
    """What the model is given of the chunks of files, by hash."""
    for outcome in group:
        first = outcome.first
        place = location(outcome.task.path, first.member or None)
        for new in first.chunks:
            text = readable(new.chunk.text, place)
            yield new.unique_hash, model_text(first.title, new.chunk.heading, text)
