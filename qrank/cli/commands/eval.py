"""qrank eval."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qrank import json_form
from qrank.cli.options import MOST, NewEmbedModel, RerankModel
from qrank.cli.state import current
from qrank.errors import InputError

if TYPE_CHECKING:
    from qrank.evaluation.config import Config
    from qrank.evaluation.dataset import Dataset


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
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            metavar="SPLIT",
            help="The qrels/SPLIT.tsv of a BEIR folder (may be repeated). [default: test]",
        ),
    ] = None,
    topics: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Use these TREC topics as queries, not the folder's."),
    ] = None,
    qrels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Use this TREC qrels file, not the folder's."),
    ] = None,
    identical_ids: Annotated[
        bool,
        typer.Option("--keep-identical-ids", help="Keep documents that have the query's own id."),
    ] = False,
    candidates: Annotated[
        int, typer.Option(min=1, max=MOST, metavar="N", help="Rerank the best N.")
    ] = 30,
    embed_model: NewEmbedModel = None,
    rerank_model: RerankModel = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Exit with 1 when B is significantly worse than A."),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write rankings as TREC run files into DIR."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw quality against latency, as PNG or SVG."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure search quality on queries with known answers.

    A DATASET is a folder in BEIR layout, indexed into a temporary index, or a JSONL file of
    "query" and "relevant" (a path, path:line, or a list of them) for the index that --db names.
    Settings of a configuration follow it: hybrid+rerank:candidates=100:rerank_weight=0.5.

    As in BEIR, a document with the query's own id is ignored.
    """
    from qrank.cli.output import json_output, render, scoreboard
    from qrank.evaluation import plot as plotting
    from qrank.evaluation import report
    from qrank.evaluation.config import parse
    from qrank.evaluation.run import Setup, run

    configurations = _configurations(parse(configs), compare)
    if plot:
        plotting.check(plot)
    if run_dir:
        report.make_folder(run_dir)
    loaded = _loaded(datasets, splits, topics, qrels)
    names = [dataset.name for dataset in loaded]
    if len(set(names)) < len(names):
        raise InputError(f"two datasets have the same name: {', '.join(sorted(names))}")
    setup = Setup(
        current().db,
        embed_model,
        rerank_model,
        candidates,
        current().placement,
        current().settings,
        identical_ids,
    )
    scored: dict[str, dict[str, report.Scored]] = {}
    with render.progress() as progress:
        for dataset in loaded:
            queries = dataset.sample(queries_limit)
            if not queries:
                raise InputError(f"{dataset.name} has no query with a relevant document")
            scored[dataset.name] = {}
            for config, outcomes in run(dataset, configurations, queries, setup, progress):
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


def _loaded(
    paths: list[Path], splits: list[str] | None, topics: Path | None, qrels: Path | None
) -> list[Dataset]:
    """Load the datasets: one per split of a folder."""
    from qrank.evaluation import dataset

    if topics or qrels:
        if len(paths) > 1 or not paths[0].is_dir():
            raise InputError("--topics and --qrels need one BEIR folder as the DATASET")
        if qrels and splits:
            raise InputError("--qrels and --split can't be combined", hint="choose one")
    every = list(dict.fromkeys(splits or ["test"]))
    return [
        replace(loaded, name=f"{loaded.name}-{split}") if len(every) > 1 else loaded
        for path in paths
        for split in (every if path.is_dir() else every[:1])
        for loaded in [dataset.load(path, split, topics=topics, qrels=qrels)]
    ]


def _configurations(configs: list[Config], compare: tuple[str, str] | None) -> list[Config]:
    """The configurations to run, without duplicates; those of --compare are added."""
    from qrank.evaluation.config import parse

    if compare:
        configs = configs + parse(",".join(compare))
    if not configs:
        raise InputError("no configuration was given", hint="use one such as --configs bm25,hybrid")
    return list({config.name: config for config in configs}.values())
