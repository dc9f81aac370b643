"""How the stages' scores become one order. Pure functions.

Scores are combined, not ranks: with a weak embedder equal-weight reciprocal rank fusion is worse
than BM25 alone, while a low share of the cosine gains (docs/ranking.md has the measurements).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence


def fuse(
    bm25: Mapping[int, float],
    cosine: Mapping[int, float],
    cosine_share: float,
    scale: Collection[int],
) -> dict[int, float]:
    """A score from 0 to 1 for the candidates of either stage, higher is better.

    Each stage is scaled first: BM25 scores by the highest, cosines from the lowest to the
    highest of those candidates that are in scale (others may lie below 0). A candidate without a
    score in a stage has 0 there. A stage without any candidate leaves the other one alone.

    >>> fuse({1: 8.0, 2: 4.0}, {2: 0.9, 3: 0.5}, 0.5, {1, 2, 3})
    {1: 0.5, 2: 0.75, 3: 0.0}
    """
    share = 0.0 if not cosine else 1.0 if not bm25 else cosine_share
    lexical = _by_highest(bm25)
    semantic = _by_range(cosine, [cosine[key] for key in cosine if key in scale])
    return {
        key: (1 - share) * lexical.get(key, 0.0) + share * semantic.get(key, 0.0)
        for key in dict.fromkeys([*bm25, *cosine])
    }


def blend(fused: float, relevance: float, rerank_share: float) -> float:
    """The final score of a reranked candidate: with a share of 1, P(relevant) alone."""
    return (1 - rerank_share) * fused + rerank_share * relevance


def _by_highest(scores: Mapping[int, float]) -> dict[int, float]:
    top = max(scores.values(), default=0.0)
    return {key: score / top if top > 0 else 0.0 for key, score in scores.items()}


def _by_range(scores: Mapping[int, float], among: Sequence[float]) -> dict[int, float]:
    low, high = min(among, default=0.0), max(among, default=0.0)
    if high == low:
        return dict.fromkeys(scores, 1.0)
    return {key: (score - low) / (high - low) for key, score in scores.items()}
