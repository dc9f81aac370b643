"""Reranking texts that are in no index: a BM25 shortlist in memory, then the model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

from qrank.analysis import text
from qrank.analysis.language import language
from qrank.results import RankedText
from qrank.searching.fusion import blend

if TYPE_CHECKING:
    from qrank.inference.loading import Reranker

K1, B = 1.2, 0.75  # FTS5's, so that both BM25s agree


def rerank_texts(
    reranker: Reranker,
    share: float,
    query: str,
    texts: Sequence[str],
    *,
    candidates: int | None,
    instruction: str | None = None,
) -> list[RankedText]:
    """The texts with their relevance, best first, ties in input order.

    When there are more than candidates, only BM25's best so many are scored; None scores all. A
    reranker with a share below 1 is mixed with BM25, as in a search; else it is P(relevant).
    """
    scored = list(range(len(texts)))
    shortens = candidates is not None and len(texts) > candidates
    words = bm25_scores(query, texts) if shortens or share < 1 else [0.0] * len(texts)
    if shortens:
        scored = sorted(sorted(scored, key=lambda i: (-words[i], i))[:candidates])
    top = max((words[i] for i in scored), default=0.0) or 1.0
    batches = reranker.scores(query, [texts[i] for i in scored], instruction)
    ranked = [
        RankedText(i, blend(words[i] / top, p_yes, share))
        for i, p_yes in zip(scored, chain.from_iterable(batches), strict=True)
    ]
    return sorted(ranked, key=lambda item: (-item.score, item.index))


def bm25_scores(query: str, texts: Sequence[str]) -> list[float]:
    """BM25 of each text among all of them; 0 where none of the query's terms is in it."""
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
