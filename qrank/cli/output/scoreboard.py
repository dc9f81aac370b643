"""Output of `qrank eval` for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rich.table import Table

from qrank.cli.output.escape import escape_line
from qrank.cli.output.terminal import console_for
from qrank.evaluation.measure import Difference
from qrank.evaluation.report import Numbers, Scored

_COLUMNS = {  # of a report's numbers: heading, format
    "ndcg@10": ("nDCG@10", ".3f"),
    "mrr@10": ("MRR@10", ".3f"),
    "recall@10": ("R@10", ".3f"),
    "recall@100": ("R@100", ".3f"),
    "p@1": ("P@1", ".3f"),
    "ms_p50": ("ms p50", ".0f"),
    "ms_p95": ("p95", ".0f"),
    "tokens": ("tokens", ".0f"),
}


def show(
    scored: Mapping[str, Mapping[str, Scored]],
    means: Mapping[str, Numbers],
    compared: tuple[str, str] | None,
    difference: Difference | None,
) -> None:
    """Print a table with a block of rows per dataset and their means, and the comparison."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("dataset", overflow="fold")
    table.add_column("configuration", overflow="fold")
    for heading, _ in _COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for dataset, runs in scored.items():
        rows = {config: each.numbers for config, each in runs.items()}
        queries = next(iter(rows.values()))["queries"]
        _add(table, f"{escape_line(dataset)} ({queries:.0f})", rows)
    if len(scored) > 1:
        _add(table, "mean", means)
    console_for(sys.stdout).print(table)
    for dataset, runs in scored.items():
        for config, run in runs.items():
            if beyond := run.numbers["beyond"]:
                print(
                    f"{escape_line(dataset)} {escape_line(config)}: {beyond:.0f} of "
                    f"{run.numbers['relevant']:.0f} relevant documents are beyond the candidates"
                )
    if compared and difference:
        verdict = (
            "no significant difference"
            if not difference.significant
            else "significantly worse"
            if difference.mean < 0
            else "significantly better"
        )
        print(
            f"{compared[1]} against {compared[0]}: nDCG@10 {difference.mean:+.4f} "
            f"[{difference.low:+.4f}, {difference.high:+.4f}], p = {difference.p:.4f} "
            f"over {difference.queries} queries: {verdict}"
        )


def _add(table: Table, name: str, rows: Mapping[str, Numbers]) -> None:
    for config, numbers in rows.items():
        cells = [format(numbers[key], shape) for key, (_, shape) in _COLUMNS.items()]
        table.add_row(name, escape_line(config), *cells)
        name = ""
    table.add_section()
