"""Measures of a run by ir-measures (trec_eval's), and the significance of differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MEASURES = {  # our name: ir-measures' name (https://ir-measur.es)
    "ndcg@10": "nDCG@10",
    "mrr@10": "RR@10",
    "recall@10": "R@10",
    "recall@100": "R@100",
    "p@1": "P@1",
}
MAIN = "ndcg@10"
RESAMPLES = 9_999
SIGNIFICANT = 0.05
_TAIL = 0.025  # on either side of a 95 % interval
_BATCH = 500
Ranking = Mapping[str, float]  # document -> score


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better the second of two configurations is, query by query.

    mean and its confidence interval (low, high) are in the measure's unit; p is the two-sided
    p-value of a paired randomisation test: how often signs given by chance do as much.
    """

    mean: float
    low: float
    high: float
    p: float
    queries: int

    @property
    def significant(self) -> bool:
        """Whether chance does as much in fewer than one of twenty cases."""
        return self.p < SIGNIFICANT

    @property
    def worse(self) -> bool:
        """Whether the second is significantly worse."""
        return self.significant and self.mean < 0


def by_query(
    judgements: Mapping[str, Mapping[str, int]], run: Mapping[str, Ranking]
) -> dict[str, dict[str, float]]:
    """For each of MEASURES its value by query; a query without any result has 0."""
    import ir_measures

    measures = {ir_measures.parse_measure(name): ours for ours, name in MEASURES.items()}
    # trec_eval leaves out a query without any result, and breaks ties in its own way: so no ties.
    ranked = {query: _untied(ranking) or {"": 0.0} for query, ranking in run.items()}
    judged = {query: dict(judgements[query]) for query in run}
    values: dict[str, dict[str, float]] = {name: {} for name in MEASURES}
    for metric in ir_measures.iter_calc(list(measures), judged, ranked):
        values[measures[metric.measure]][metric.query_id] = float(metric.value)
    return values


def _untied(ranking: Ranking) -> dict[str, float]:
    """The same order, by scores that differ."""
    return {document: float(-rank) for rank, document in enumerate(ranking)}


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which percent of the values lie."""
    import numpy as np

    return float(np.percentile(values, percent))


def difference(pairs: Sequence[Sequence[tuple[float, float]]]) -> Difference:
    """Compare two configurations on the queries of one or more datasets, each weighing the same.

    pairs: for each dataset the (first, second) values of its queries. The interval is a percentile
    bootstrap over the queries, stratified by dataset; the test is Fisher's randomisation test on
    paired values (Smucker, Allan and Carterette 2007, which recommends it for this).
    """
    import numpy as np

    changes = [np.array([second - first for first, second in dataset]) for dataset in pairs]
    observed = float(np.mean([change.mean() for change in changes]))
    resampled, flipped = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    random = np.random.default_rng(0)
    for change in changes:
        share = change / len(change) / len(changes)
        for at in range(0, RESAMPLES, _BATCH):
            shape = (min(_BATCH, RESAMPLES - at), len(share))
            resampled[at : at + _BATCH] += share[random.integers(0, len(share), shape)].sum(axis=1)
            flipped[at : at + _BATCH] += random.choice((-1.0, 1.0), shape) @ share
    low, high = np.quantile(resampled, (_TAIL, 1 - _TAIL))
    extreme = int(np.count_nonzero(np.abs(flipped) >= abs(observed) - 1e-12))
    p = (extreme + 1) / (RESAMPLES + 1)
    return Difference(observed, float(low), float(high), p, sum(map(len, changes)))
