"""qrank eval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qrank import json_form
from qrank.cli.options import MOST, NewEmbedModel, RerankModel
from qrank.cli.state import current
from qrank.errors import InputError

if TYPE_CHECKING:
    from qrank.evaluation.config import Config


def evaluate(
    datasets: Annotated[
        list[Path],
        typer.Argument(metavar="DATASET...", help="BEIR folders, or a file of queries for --db."),
    ],
    configs: Annotated[
        str, typer.Option(metavar="LIST", help="Configurations, separated by commas.")
    ] = "bm25,vector,hybrid,hybrid+rerank",
    queries_limit: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, metavar="N", help="Use a sample of N queries per dataset."),
    ] = None,
    split: Annotated[str, typer.Option(help="The qrels/SPLIT.tsv of a BEIR folder.")] = "test",
    candidates: Annotated[
        int, typer.Option(min=1, max=MOST, help="How many candidates to rerank.")
    ] = 30,
    embed_model: NewEmbedModel = None,
    rerank_model: RerankModel = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Exit with 1 when B is significantly worse than A."),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the rankings there, as TREC run files."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw quality against latency, as PNG or SVG."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure search quality on queries with known relevant documents.

    A DATASET is a folder in BEIR layout, indexed into a temporary index, or a JSONL file of
    "query" and "relevant" (a path, path:line, or a list of them) for the index that --db names.
    Settings of a configuration follow it: hybrid+rerank:candidates=100:rerank_weight=0.5.
    """
    from qrank.cli.output import json_output, render, scoreboard
    from qrank.evaluation import dataset as collections
    from qrank.evaluation import plot as plotting
    from qrank.evaluation import report
    from qrank.evaluation.config import parse
    from qrank.evaluation.run import Setup, run

    wanted = _with_compared(parse(configs), compare)
    if plot:
        plotting.check(plot)
    if run_dir:
        report.make_folder(run_dir)
    loaded = [collections.load(path, split) for path in datasets]
    names = [dataset.name for dataset in loaded]
    if len(set(names)) < len(names):
        raise InputError(f"two datasets have the same name: {', '.join(sorted(names))}")
    setup = Setup(
        current().db, embed_model, rerank_model, candidates, current().placement, current().settings
    )
    scored: dict[str, dict[str, report.Scored]] = {}
    with render.progress() as progress:
        for dataset in loaded:
            queries = dataset.sample(queries_limit)
            if not queries:
                raise InputError(f"{dataset.name} has no query with a relevant document")
            scored[dataset.name] = {}
            for config, outcomes in run(dataset, wanted, queries, setup, progress):
                scored[dataset.name][config.name] = report.score(dataset, outcomes)
                if run_dir:
                    report.write_run(run_dir, dataset.name, config.name, outcomes)
    means = report.means(scored)
    difference = report.compare(scored, *compare) if compare else None
    if as_json:
        json_output.document(json_form.evaluation(scored, means, compare, difference))
    else:
        scoreboard.show(scored, means, compare, difference)
    if plot:
        plotting.plot(means, plot)
    if difference and difference.worse:
        raise typer.Exit(1)


def _with_compared(configs: list[Config], compare: tuple[str, str] | None) -> list[Config]:
    """The configurations to run, each once, those to be compared among them."""
    from qrank.evaluation.config import parse

    if compare:
        configs = configs + parse(",".join(compare))
    if not configs:
        raise InputError("no configuration was given", hint="use one such as --configs bm25,hybrid")
    return list({config.name: config for config in configs}.values())
