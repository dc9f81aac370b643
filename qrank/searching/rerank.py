"""Reranking texts without an index (`qrank rerank`): BM25 in memory, then the model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qrank.analysis import text
from qrank.analysis.language import language
from qrank.searching.fusion import blend

if TYPE_CHECKING:
    from qrank.inference.loading import Reranker
    from qrank.progress import Progress

K1, B = 1.2, 0.75  # FTS5's, so that both BM25s agree


@dataclass(frozen=True, slots=True)
class RankedText:
    """A text by its index in the input, from 0, and its relevance, 0 to 1; None: not scored."""

    index: int
    score: float | None


def rerank_texts(
    reranker: Reranker,
    share: float,
    query: str,
    texts: Sequence[str],
    *,
    candidates: int | None,
    instruction: str | None = None,
    budget: float | None = None,
    progress: Progress | None = None,
) -> list[RankedText]:
    """Rank texts by relevance to query, best first, ties in input order; texts that were not
    scored follow in BM25 order, with relevance None.

    candidates: only so many of BM25's best are scored by the model; None: all. budget: seconds,
    after which no further batch is scored; one always is. share: the weight of P(yes), from 0 to
    1; below 1 it is averaged with the BM25 score divided by the highest one, as in a search.
    instruction: None for the model's default.
    """
    by_words = (candidates is not None and len(texts) > candidates) or budget is not None
    words = bm25_scores(query, texts) if by_words or share < 1 else [0.0] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: (-words[i], i))
    chosen = order[:candidates]
    if budget is None:
        chosen.sort()
    top = max((words[i] for i in chosen), default=0.0) or 1.0
    if progress:
        progress.stage("rerank", len(chosen))
    scores: dict[int, float] = {}
    started = time.monotonic()
    for batch in reranker.scores(query, [texts[i] for i in chosen], instruction):
        scores |= zip(chosen[len(scores) :], batch, strict=False)
        if progress:
            progress.advance(len(batch))
        if budget is not None and time.monotonic() - started >= budget:
            break
    final = {i: blend(words[i] / top, p_yes, share) for i, p_yes in scores.items()}
    best = sorted(final, key=lambda i: (-final[i], i))
    return [RankedText(i, final.get(i)) for i in [*best, *(i for i in order if i not in final)]]


def bm25_scores(query: str, texts: Sequence[str]) -> list[float]:
    """The BM25 score of each text, with idf computed over these texts; 0 without a query term."""
    from rank_bm25 import BM25Okapi

    languages = [language(item) for item in texts]
    documents = [text.index_terms(*pair) for pair in zip(texts, languages, strict=True)]
    if not any(documents):
        return [0.0] * len(texts)
    bm25 = BM25Okapi(documents, k1=K1, b=B)
    english = text.query_terms(query)
    variants = text.variants(query, set(languages))
    scores = {latin: bm25.get_scores(english + variants.get(latin, [])) for latin in set(languages)}
    return [max(0.0, float(scores[latin][i])) for i, latin in enumerate(languages)]
