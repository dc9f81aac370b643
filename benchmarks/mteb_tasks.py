"""Run tasks of the `mteb` package on qrank's inference (benchmarks/README.md has the commands).

    python benchmarks/mteb_tasks.py --benchmark FollowIR --rerank-model auto
    python benchmarks/mteb_tasks.py --beir FOLDER --embed-model tiny --rerank-model tiny

The embedder ranks each corpus; the reranker then orders its first --top-k, or the candidates that
of the task itself. Results are mteb's JSON files in --output. An interrupted run is resumed when
started again: results that are in --output are not computed again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import mteb
from datasets import Dataset as Table
from mteb.abstasks import AbsTask, AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.model_meta import ModelMeta
from mteb_adapter import CrossEncoder, Encoder, Prompts
from rich.console import Console
from rich.table import Table as Printed

import qrank
from qrank.evaluation import dataset as collections
from qrank.ingest.walk import walk
from qrank.prompts import TASK
from qrank.settings import Walking

PUBLISHED = {  # as in the Qwen3 Embedding report (arXiv 2506.05176): mteb's benchmark, task type
    "MTEB-R": ("MTEB(eng, v2)", "Retrieval"),
    "CMTEB-R": ("MTEB(cmn, v1)", "Retrieval"),
    "MMTEB-R": ("MTEB(Multilingual, v2)", "Retrieval"),
    "MTEB-Code": ("MTEB(Code, v1)", "Retrieval"),
    "FollowIR": ("FollowIR", "InstructionReranking"),
}
WITH_CANDIDATES = ("Reranking", "InstructionReranking")  # tasks with candidates of their own
BATCH = 256  # texts of one call of qrank


def main() -> None:
    """Run what the command line asks for, and print a table of the main scores."""
    options = _options()
    try:
        tasks = list(_tasks(options))
        prompts = json.loads(options.prompts.read_text("utf-8")) if options.prompts else {}
        stages = Stages(options.output, prompts, options.top_k)
        scores = stages.run(tasks, options.embed_model, options.rerank_model)
    except (qrank.QrankError, OSError, json.JSONDecodeError) as error:
        sys.exit(f"mteb_tasks: {error}")
    except KeyboardInterrupt:
        print("mteb_tasks: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    _print(tasks, scores)
    print(f"The results are in {options.output}", file=sys.stderr)


class Local(AbsTaskRetrieval):
    """A collection of local files as a retrieval task."""

    collection: collections.Dataset
    source: Path  # the BEIR folder or the file of queries

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        """Read the collection."""
        queries = self.collection.sample(None)
        rows = [{"id": name, "text": self.collection.queries[name]} for name in queries]
        self.dataset = {
            "default": {
                self.eval_splits[0]: {
                    "corpus": Table.from_list(list(self._documents())),
                    "queries": Table.from_list(rows),
                    "relevant_docs": {name: self._judgements(name) for name in queries},
                    "top_ranked": None,
                }
            }
        }
        self.data_loaded = True

    def _documents(self) -> Iterator[dict[str, str]]:
        """The corpus of a BEIR folder, or the files beside a file of queries."""
        if self.collection.corpus:
            for record in collections.records(self.collection.corpus):
                yield {"id": record.id, "title": record.title, "text": record.text}
            return
        for file in walk([self.source.parent], Walking(), lambda _: None):
            if file.path != str(self.source):
                text = Path(file.path).read_text("utf-8", "replace")
                yield {"id": file.path, "title": "", "text": text}

    def _judgements(self, query: str) -> dict[str, int]:
        """The grades by document; where lines of a file were judged, the file gets the grade."""
        places = self.collection.places
        return {
            places[name].path if name in places else name: grade
            for name, grade in self.collection.judgements[query].items()
        }


def local(path: Path, split: str = "test") -> Local:
    """A folder in BEIR layout, or a file of queries beside the files that answer them, as a task.

    Raises InputError when it is neither.
    """
    collection = collections.load(path, split)
    metadata = TaskMetadata(
        name=collection.name,
        description=f"The collection {collection.name}.",
        dataset={"path": str(path), "revision": "local"},
        prompt=TASK,
        type="Retrieval",
        category="t2t",
        eval_splits=[split],
        eval_langs=["eng-Latn"],  # mteb asks for one; nothing depends on it
        main_score="ndcg_at_10",
    )
    attributes = {"metadata": metadata, "collection": collection, "source": path.resolve()}
    task: Local = type("Local", (Local,), attributes)()
    return task


class Stages:
    """The two stages of a run: the embedder's ranking, and the reranker's of its first."""

    def __init__(self, output: Path, prompts: Prompts, top_k: int) -> None:
        """output: the folder of results. top_k: how many are reranked."""
        self._output, self._prompts, self._top_k = output, prompts, top_k
        self._cache = mteb.ResultCache(cache_path=output)

    def run(
        self, tasks: list[AbsTask], embed_model: str | None, rerank_model: str | None
    ) -> dict[str, dict[str, float]]:
        """The main score of each task by stage ("embed", "rerank"), one model loaded at a time.

        Raises QrankError for a model that can't be used.
        """
        scores: dict[str, dict[str, float]] = {task.metadata.name: {} for task in tasks}
        first: ModelMeta | None = None
        if embed_model:
            encoder = Encoder(embed_model, self._prompts)
            encoder.mteb_model_meta = first = self._named(encoder.mteb_model_meta)
            for task in tasks:
                scores[task.metadata.name]["embed"] = self._retrieve(encoder, task)
            encoder.close()
        if rerank_model:
            reranker = CrossEncoder(rerank_model, self._prompts)
            reranker.mteb_model_meta = self._named(reranker.mteb_model_meta)
            for task in tasks:
                if task.metadata.type in WITH_CANDIDATES:
                    scores[task.metadata.name]["rerank"] = self._score(reranker, task)
                elif task.metadata.type == "Retrieval" and first:
                    scores[task.metadata.name]["rerank"] = self._rerank(reranker, task, first)
            reranker.close()
        return scores

    def _retrieve(self, encoder: Encoder, task: AbsTask) -> float:
        folder = self._predictions(encoder.mteb_model_meta)
        again = not (folder / task.prediction_file_name).exists()
        return self._score(encoder, task, folder, again)

    def _rerank(self, reranker: CrossEncoder, task: AbsTaskRetrieval, first: ModelMeta) -> float:
        alone = reranker.mteb_model_meta
        stage = {"first_stage": f"{first.name}-{first.revision}", "top_k": self._top_k}
        reranker.mteb_model_meta = meta = self._named(alone, **stage)
        try:
            cached = self._cache.load_task_result(task.metadata.name, meta)
            if isinstance(task, Local) or not cached or cached.get_missing_evaluations(task):
                task.convert_to_reranking(self._predictions(first), top_k=self._top_k)
            return self._score(reranker, task)
        finally:
            reranker.mteb_model_meta = alone
            if task.data_loaded:
                task.unload_data()

    def _score(
        self,
        model: Encoder | CrossEncoder,
        task: AbsTask,
        predictions: Path | None = None,
        again: bool = False,
    ) -> float:
        """The main score: the mean over splits and languages. Local collections are always
        evaluated again, since their files may have changed."""
        strategy = "always" if again or isinstance(task, Local) else "only-missing"
        result = mteb.evaluate(
            model,
            task,
            co2_tracker=False,
            encode_kwargs={"batch_size": BATCH},
            cache=self._cache,
            overwrite_strategy=strategy,
            prediction_folder=predictions,
        )
        return float(result.task_results[0].get_score())

    def _named(self, meta: ModelMeta, **settings: Any) -> ModelMeta:
        """The metadata with these settings as experiment, so that mteb keeps results apart."""
        if self._prompts:
            written = json.dumps(self._prompts, sort_keys=True).encode()
            settings["prompts"] = hashlib.sha256(written).hexdigest()[:12]
        return meta.model_copy(update={"experiment_kwargs": settings or None})

    def _predictions(self, meta: ModelMeta) -> Path:
        """The folder of an embedder's rankings."""
        parts = (meta.name, meta.revision, meta.experiment_name)
        name = "__".join(part.replace("/", "__") for part in parts if part)
        return self._output / "predictions" / name


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Run tasks of the mteb package on qrank's inference."
    )
    what = parser.add_argument_group("tasks")
    what.add_argument(
        "--benchmark",
        metavar="NAME",
        help=f"{', '.join(PUBLISHED)}, MLDR, or a benchmark of mteb's by its name",
    )
    what.add_argument("--tasks", metavar="NAME", nargs="+", help="tasks of mteb's by their names")
    what.add_argument(
        "--beir",
        metavar="PATH",
        type=Path,
        nargs="+",
        help="folders in BEIR layout, or files of queries beside the files that answer them",
    )
    what.add_argument("--split", default="test", help="which qrels/SPLIT.tsv of a BEIR folder")
    parser.add_argument("--embed-model", metavar="MODEL", help="as on qrank's command line")
    parser.add_argument("--rerank-model", metavar="MODEL", help="as on qrank's command line")
    parser.add_argument(
        "--top-k", type=int, default=100, metavar="K", help="how many are reranked [100]"
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help='JSON of {task: instruction} or {task: {"query": instruction}}, before mteb\'s own',
    )
    parser.add_argument(
        "--output", type=Path, default=Path("mteb-results"), metavar="DIR", help="[mteb-results]"
    )
    options = parser.parse_args()
    if not (options.benchmark or options.tasks or options.beir):
        parser.error("name what to run: --benchmark, --tasks or --beir")
    if not (options.embed_model or options.rerank_model):
        parser.error("name a model: --embed-model, --rerank-model or both")
    return options


def _tasks(options: argparse.Namespace) -> Iterator[AbsTask]:
    """The tasks that the command line names. Ends the program for a name that mteb doesn't know."""
    for path in options.beir or []:
        yield local(path, options.split)
    try:
        yield from _of_mteb(options)
    except KeyError as error:
        sys.exit(f"mteb_tasks: {error.args[0]}")


def _of_mteb(options: argparse.Namespace) -> Iterator[AbsTask]:
    yield from (mteb.get_task(name) for name in options.tasks or [])
    if options.benchmark == "MLDR":
        yield mteb.get_task("MultiLongDocRetrieval", eval_splits=["test"])
    elif options.benchmark:
        name, kind = PUBLISHED.get(options.benchmark, (options.benchmark, None))
        for task in mteb.get_benchmark(name).tasks:
            if kind in (None, task.metadata.type):
                yield task


def _print(tasks: list[AbsTask], scores: dict[str, dict[str, float]]) -> None:
    """Print a row per task and their mean, in hundredths like the published tables."""
    stages = [stage for stage in ("embed", "rerank") if any(stage in s for s in scores.values())]
    table = Printed("task", "measure", box=None, pad_edge=False)
    for stage in stages:
        table.add_column(stage, justify="right")
    for task in tasks:
        row = scores[task.metadata.name]
        cells = [f"{100 * row[stage]:.2f}" if stage in row else "" for stage in stages]
        table.add_row(task.metadata.name, task.metadata.main_score, *cells)
    if len(tasks) > 1:
        columns = [[s[stage] for s in scores.values() if stage in s] for stage in stages]
        table.add_row("mean", "", *(f"{100 * fmean(column):.2f}" for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
