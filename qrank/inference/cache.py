"""Asking a model only what it has not been asked before: query vectors and P(relevant).

The keys hold all that an answer depends on: the model file's hash, the version of the prompts,
the query, and for a score the text as the model reads it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager as Use
from typing import TYPE_CHECKING

from qrank.prompts import PROMPT_VERSION
from qrank.store.cache import Cache

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qrank.inference.loading import Embedder, Reranker

_SCORE = struct.Struct("<d")


def query_vector(
    cache: Cache | None,
    model_hash: str,
    query: str,
    dims: int,
    use: Callable[[], Use[Embedder]],
    instruction: str = "",
) -> NDArray[np.float32]:
    """The unit vector of a query, of shape (dims,); the model is used only when it
    is not cached. instruction: for a model that takes one; model_hash tells it, too."""
    cached = known_vector(cache, model_hash, query, dims)
    if cached is not None:
        return cached
    with use() as embedder:
        task = instruction if instruction and embedder.takes_instruction else None
        vector: NDArray[np.float32] = embedder.queries([query], task).vectors[0]
    if cache:
        cache.put({_key("vector", model_hash, query): vector.astype("<f4").tobytes()})
    return vector


def known_vector(
    cache: Cache | None, model_hash: str, query: str, dims: int
) -> NDArray[np.float32] | None:
    """The unit vector of a query, of shape (dims,), where it is cached."""
    key = _key("vector", model_hash, query)
    cached = cache.get([key]).get(key) if cache else None
    if cached is None or len(cached) != 4 * dims:
        return None
    import numpy as np

    unit_vector = np.frombuffer(cached, dtype="<f4")
    return unit_vector if np.isfinite(unit_vector).all() else None


def relevance(
    cache: Cache | None,
    model_hash: str,
    query: str,
    texts: Sequence[str],
    use: Callable[[], Use[Reranker]],
) -> Generator[tuple[bool, dict[int, float]], None, None]:
    """Yield (cached, P(relevant) of texts by their place): first all that are cached, then batch
    by batch in order. The model is used only when one is not cached. What was computed is cached at
    the end, also when the iterator is closed early.
    """
    keys = [_key("score", model_hash, query, text) for text in texts]
    entries = cache.get(keys) if cache else {}
    scores_by_key = ((i, _probability(entries.get(key))) for i, key in enumerate(keys))
    cached = {i: score for i, score in scores_by_key if score >= 0}
    yield True, cached
    missing = [i for i in range(len(keys)) if i not in cached]
    if not missing:
        return
    fresh: dict[bytes, bytes] = {}
    done = 0
    try:
        with use() as reranker:
            for batch in reranker.scores(query, [texts[i] for i in missing]):
                scores = dict(zip(missing[done:], batch, strict=False))
                done += len(batch)
                fresh.update((keys[i], _SCORE.pack(score)) for i, score in scores.items())
                yield False, scores
    finally:
        if cache:
            cache.put(fresh)


def _probability(cached: bytes | None) -> float:
    """A cached score; -1 where there is none, or what is there can't be one."""
    if cached is None or len(cached) != _SCORE.size:
        return -1
    (score,) = _SCORE.unpack(cached)
    return float(score) if 0 <= score <= 1 else -1


def _key(*parts: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16, salt=PROMPT_VERSION.to_bytes(2, "little"))
    for part in parts:
        data = part.encode("utf-8", "replace")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()
