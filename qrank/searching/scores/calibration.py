"""Calibrated scores: the probability that a result is relevant.

A logistic model of what the stages said of a candidate, with a set of weights for each pair of an
embedder and a reranker that was measured (`calibration` in models/registry.toml; made by
training/calibrate.py, its errors are in docs/quality.md). The order stays the stages'.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qrank.searching.models import Rerank, Semantic
    from qrank.searching.shown import Candidate

ALONE = "alone"  # the weights for candidates that no reranker has read
CERTAIN = 1e-3  # P(yes) is taken to be at least so far from 0 and 1
ENOUGH = 4.0
FEWEST = 20  # chunks; in fewer, BM25 can't tell a rare word from one that is everywhere
_K1 = 1.2  # FTS5's: a word that stands very often in a chunk counts (1 + K1) times its idf
Weights = Mapping[str, float]


def odds_for(semantic: Semantic | None, reranker: Rerank | None) -> list[Weights] | None:
    """The weights for candidates that were not reranked, and for those that were; None where the
    models have none."""
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
    """Set the relevance of candidates, best first; odds: what `odds_for` returned; terms: how many
    different ones the query has; chunks: how many there are in the index.

    None is higher than that of a candidate before it: relevance tells how good a result is, it
    does not order them.
    """
    before = 1.0
    for candidate, seen in zip(candidates, evidence(candidates, terms, chunks), strict=True):
        weights = odds[-1] if candidate.scores.rerank else odds[0]
        before = candidate.relevance = min(before, probability(seen, weights))


def evidence(
    candidates: Sequence[Candidate], terms: int, chunks: int
) -> Iterator[dict[str, float]]:
    """The features of each candidate, by their names in the registry.

    cosine: of its vector to the query's; where it has none, the lowest of the others.
    words: the square root of its BM25 score's share of what it would be if the chunk had all of
    the query's terms, each often, and nothing else in the index had them.
    amount: its BM25 score in logarithms of the number of chunks, which is about what a rare word
    brings: two words that match tell less than many. No more than ENOUGH.
    place: the score that orders the candidates. p_yes: the reranker's answer as log odds.
    """
    lowest = min((c.cosine for c in candidates if c.cosine is not None), default=0.0)
    rare = math.log(1 + chunks)
    for candidate in candidates:
        bm25, reranked = candidate.scores.bm25, candidate.scores.rerank
        amount = max(0.0, bm25.score) / rare if bm25 and rare else 0.0
        features = {
            "cosine": lowest if candidate.cosine is None else candidate.cosine,
            "words": math.sqrt(amount / (1 + _K1) / terms) if terms else 0.0,
            "amount": min(amount, ENOUGH),
            "place": candidate.final,
        }
        if reranked:
            p_yes = min(max(reranked.p_yes, CERTAIN), 1 - CERTAIN)
            features["p_yes"] = math.log(p_yes / (1 - p_yes))
        yield features


def probability(evidence: Mapping[str, float], weights: Weights) -> float:
    """The logistic function of weighted evidence.

    >>> probability({"cosine": 0.5}, {"base": -1.0, "cosine": 2.0})
    0.5
    """
    odds = weights["base"] + sum(weights[name] * value for name, value in evidence.items())
    return 1 / (1 + math.exp(-odds)) if odds > -700 else 0.0
