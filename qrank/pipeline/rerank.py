"""Reranking texts that are in no index: a BM25 shortlist in memory, then the model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

from qrank import text
from qrank.results import RankedText

if TYPE_CHECKING:
    from qrank.llama.reranker import Reranker

K1, B = 1.2, 0.75  # FTS5's, so that both BM25s agree


def rerank_texts(
    reranker: Reranker,
    query: str,
    texts: Sequence[str],
    *,
    candidates: int | None,
    instruction: str | None = None,
) -> list[RankedText]:
    """The texts with P(relevant), best first, ties in input order.

    When there are more than candidates, only BM25's best so many are scored; None scores all.
    """
    kept = list(range(len(texts)))
    if candidates is not None and len(texts) > candidates:
        kept = shortlist(query, texts, candidates)
    batches = reranker.scores(query, [texts[i] for i in kept], instruction)
    ranked = [
        RankedText(i, score) for i, score in zip(kept, chain.from_iterable(batches), strict=True)
    ]
    return sorted(ranked, key=lambda item: (-item.score, item.index))


def shortlist(query: str, texts: Sequence[str], count: int) -> list[int]:
    """The places of the count texts that BM25 likes best, in input order."""
    from rank_bm25 import BM25Okapi

    documents = [text.index_terms(item) for item in texts]
    if not any(documents):
        return list(range(min(count, len(texts))))
    scores = BM25Okapi(documents, k1=K1, b=B).get_scores(text.query_terms(query))
    best = sorted(range(len(texts)), key=lambda i: (-scores[i], i))[:count]
    return sorted(best)
