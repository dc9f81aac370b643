"""Calibrated scores: the probability that a result is relevant.

Logistic regression on the stages' scores of a candidate. Each measured pair of an embedder and a
reranker has its own weights (`calibration` in models/registry.toml, fitted by
training/calibrate.py; the calibration error is in docs/quality.md). The order of the candidates
does not change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qrank.searching.models import Rerank, Semantic
    from qrank.searching.shown import Candidate

ALONE = "alone"  # the name of the weights for candidates that were not reranked
MARGIN = 1e-3  # P(yes) is clipped to be at least so far from 0 and 1
MOST_AMOUNT = 4.0  # of the feature amount; higher values are clipped
FEWEST = 20  # chunks of an index: in fewer, BM25 can't tell rare words from frequent ones
_K1 = 1.2  # FTS5's k1: a term's score is at most (1 + k1) times its idf, however often it occurs
Weights = Mapping[str, float]


def odds_for(semantic: Semantic | None, reranker: Rerank | None) -> list[Weights] | None:
    """The weights for candidates that were not reranked and, with a reranker, for those that were;
    None where no weights were fitted for these models."""
    if semantic is None:
        return None
    parameters = semantic.choice.entry.calibration
    entry = reranker.choice.entry if reranker else None
    names = [ALONE, *([entry.alias] if entry else [])]
    if not all(name in parameters for name in names) or (entry and not entry.bundled):
        return None
    return [parameters[name] for name in names]


def calibrate(
    candidates: Sequence[Candidate], odds: Sequence[Weights], terms: int, chunks: int
) -> None:
    """Set the relevance of candidates, which come best first.

    odds: the weights from `odds_for`. terms: the number of different query terms. chunks: the
    number of chunks in the index. Relevance never rises down the list: a value above that of the
    candidate before is lowered to it.
    """
    before = 1.0
    for candidate, seen in zip(candidates, evidence(candidates, terms, chunks), strict=True):
        weights = odds[-1] if candidate.scores.rerank else odds[0]
        before = candidate.relevance = min(before, probability(seen, weights))


def evidence(
    candidates: Sequence[Candidate], terms: int, chunks: int
) -> Iterator[dict[str, float]]:
    """The features of each candidate, by their names in the registry.

    cosine: of its vector and the query's; where it has no vector, the lowest of the others.
    words: the square root of (BM25 score / highest possible score), the latter being that of a
    chunk with all query terms, each very often, in an index where no other chunk has them.
    amount: the BM25 score / log(1 + chunks), which is about the idf of a rare word: a query of
    many matching words is stronger evidence than one of two. Clipped at MOST_AMOUNT.
    place: the score that orders the candidates. p_yes: the reranker's P(yes) as log odds.
    """
    lowest = min((c.cosine for c in candidates if c.cosine is not None), default=0.0)
    rare = math.log(1 + chunks)
    for candidate in candidates:
        bm25, reranked = candidate.scores.bm25, candidate.scores.rerank
        amount = max(0.0, bm25.score) / rare if bm25 and rare else 0.0
        features = {
            "cosine": lowest if candidate.cosine is None else candidate.cosine,
            "words": math.sqrt(amount / (1 + _K1) / terms) if terms else 0.0,
            "amount": min(amount, MOST_AMOUNT),
            "place": candidate.final,
        }
        if reranked:
            p_yes = min(max(reranked.p_yes, MARGIN), 1 - MARGIN)
            features["p_yes"] = math.log(p_yes / (1 - p_yes))
        yield features


def probability(evidence: Mapping[str, float], weights: Weights) -> float:
    """The logistic function of the weighted features in evidence, plus the weight "base".

    >>> probability({"cosine": 0.5}, {"base": -1.0, "cosine": 2.0})
    0.5
    """
    odds = weights["base"] + sum(weights[name] * value for name, value in evidence.items())
    return 1 / (1 + math.exp(-odds)) if odds > -700 else 0.0
