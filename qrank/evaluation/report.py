"""Outcomes -> the numbers of a report, and TREC run files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from qrank import files
from qrank.errors import InputError
from qrank.evaluation.dataset import Dataset
from qrank.evaluation.measure import MAIN, MEASURES, Difference, by_query, difference, percentile
from qrank.evaluation.run import Outcome

Numbers = dict[str, float]


@dataclass(frozen=True, slots=True)
class Scored:
    """One configuration on one dataset: the value of each measure by query, and the means."""

    by_query: Mapping[str, Mapping[str, float]]
    numbers: Numbers


def score(dataset: Dataset, outcomes: Mapping[str, Outcome]) -> Scored:
    """The measures of a run; ms_p50 and ms_p95 are milliseconds a query, with models loaded."""
    values = by_query(dataset.judgements, {q: o.ranking for q, o in outcomes.items()})
    times = [outcome.milliseconds for outcome in outcomes.values()]
    numbers = {name: round(fmean(values[name].values()), 4) for name in MEASURES}
    numbers |= {
        "ms_p50": round(percentile(times, 50), 2),
        "ms_p95": round(percentile(times, 95), 2),
        "tokens": round(fmean(outcome.tokens for outcome in outcomes.values()), 1),
        "queries": len(outcomes),
    }
    return Scored(values, numbers)


def means(scored: Mapping[str, Mapping[str, Scored]]) -> dict[str, Numbers]:
    """For each configuration the mean of its numbers over the datasets (queries: their sum)."""
    found: dict[str, Numbers] = {}
    for config in dict.fromkeys(name for runs in scored.values() for name in runs):
        rows = [runs[config].numbers for runs in scored.values()]
        found[config] = {name: round(fmean(row[name] for row in rows), 4) for name in rows[0]}
        found[config]["queries"] = sum(row["queries"] for row in rows)
    return found


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
    tag = re.sub(r"\s", "_", config)
    lines = [
        f"{_word(query)} Q0 {_word(document)} {rank} {score:.6f} {tag}\n"
        for query, outcome in outcomes.items()
        for rank, (document, score) in enumerate(outcome.ranking.items(), 1)
    ]
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


def _word(name: str) -> str:
    """A name as one word: the format parts columns by blanks."""
    return re.sub(r"\s", "_", name) or "_"
