"""Outcomes -> the numbers of a report, and TREC run files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from qrank import files
from qrank.errors import InputError
from qrank.evaluation import trec
from qrank.evaluation.dataset import Dataset
from qrank.evaluation.measure import MAIN, MEASURES, Difference, by_query, difference, percentile
from qrank.evaluation.run import Outcome

Numbers = dict[str, float]
COUNTS = ("queries", "relevant", "beyond")


@dataclass(frozen=True, slots=True)
class Scored:
    """One configuration on one dataset: the value of each measure by query, and the means."""

    by_query: Mapping[str, Mapping[str, float]]
    numbers: Numbers


def score(dataset: Dataset, outcomes: Mapping[str, Outcome]) -> Scored:
    """The measures of a run; ms_p50 and ms_p95 are milliseconds a query, with models loaded."""
    values = by_query(dataset.judgements, {q: o.ranking for q, o in outcomes.items()})
    grades = [dataset.judgements[query].values() for query in outcomes]
    times = [outcome.milliseconds for outcome in outcomes.values()]
    numbers = {name: round(fmean(values[name].values()), 4) for name in MEASURES}
    numbers |= {
        "ms_p50": round(percentile(times, 50), 2),
        "ms_p95": round(percentile(times, 95), 2),
        "tokens": round(fmean(outcome.tokens for outcome in outcomes.values()), 1),
        "queries": len(outcomes),
        "relevant": sum(grade > 0 for judged in grades for grade in judged),
        "beyond": sum(outcome.beyond for outcome in outcomes.values()),
    }
    return Scored(values, numbers)


def means(scored: Mapping[str, Mapping[str, Scored]]) -> dict[str, Numbers]:
    """For each configuration the mean of its numbers over the datasets, of counts their sum."""
    result: dict[str, Numbers] = {}
    for config in dict.fromkeys(name for runs in scored.values() for name in runs):
        rows = [runs[config].numbers for runs in scored.values()]
        result[config] = {name: round(fmean(row[name] for row in rows), 4) for name in rows[0]}
        result[config] |= {name: sum(row[name] for row in rows) for name in COUNTS}
    return result


def compare(
    scored: Mapping[str, Mapping[str, Scored]], first: str, second: str, measure: str = MAIN
) -> Difference:
    """How much better the configuration second is than first, over all datasets."""
    pairs = []
    for runs in scored.values():
        before, after = (runs[name].by_query[measure] for name in (first, second))
        pairs.append([(before[query], after[query]) for query in before])
    return difference(pairs)


def write_run(folder: Path, dataset: str, config: str, outcomes: Mapping[str, Outcome]) -> None:
    """A TREC run file, DATASET.CONFIG.trec: query, Q0, document, rank, score, tag a line.

    Raises InputError when it can't be written.
    """
    lines = trec.run_lines({query: each.ranking for query, each in outcomes.items()}, config)
    path = folder / f"{dataset}.{config.replace('/', '_')}.trec"
    try:
        files.write_text(path, "".join(lines))
    except OSError as error:
        raise InputError(f"can't write {path}: {files.reason(error)}") from error


def make_folder(folder: Path) -> None:
    """Make the folder of run files. Raises InputError when that can't be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"can't create the folder {folder}: {files.reason(error)}") from error
