"""The adapter to the mteb package, on tasks made here. Skipped where mteb is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from support import PARITY, ROOT, clean_environment

import qrank
from qrank.prompts import TASK

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    mteb = pytest.importorskip("mteb", reason="pip install -r benchmarks/requirements.txt")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from datasets import Dataset
    from mteb._evaluators.retrieval_metrics import evaluate_p_mrr_change
    from mteb.abstasks import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.types import PromptType
    from mteb_adapter import CrossEncoder, Encoder, task_instruction
    from mteb_tasks import Stages
    from torch.utils.data import DataLoader

pytestmark = pytest.mark.filterwarnings("ignore")  # mteb's own

DOCUMENTS = {
    "spring": "Spring tides come at new and full moon.",
    "neap": "Neap tides come at the quarters of the moon.",
    "owl": "The barn owl hunts at night.",
    "tea": "Green tea steeps for two minutes.",
}
INSTRUCTIONS = {
    "t-og": "Find documents about any tides",
    "t-changed": "Find documents about any tides, but not those at full moon",
    "n-og": "Find documents about the night",
    "n-changed": "Find documents about the night. Those on the moon are not relevant.",
}
QUERIES = {"t-og": "tides", "t-changed": "tides", "n-og": "night", "n-changed": "night"}
NO_LONGER_RELEVANT = {"t": ["spring"], "n": ["neap", "spring"]}


def metadata(name: str, kind: str, main_score: str, prompt: Any = None) -> TaskMetadata:
    return TaskMetadata(
        name=name,
        description=name,
        dataset={"path": name, "revision": "1"},
        type=kind,
        category="t2t",
        eval_langs=["eng-Latn"],
        main_score=main_score,
        prompt=prompt,
    )


class MadeUpFollowIR(AbsTaskRetrieval):
    """A set in FollowIR's form: each query twice, -og and -changed, by its instruction alone."""

    metadata = metadata("MadeUpFollowIR", "InstructionReranking", "p-MRR")

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        rows = [
            {"id": name, "text": text, "instruction": INSTRUCTIONS[name]}
            for name, text in QUERIES.items()
        ]
        corpus = [{"id": name, "title": "", "text": text} for name, text in DOCUMENTS.items()]
        self.dataset = {
            "default": {
                "test": {
                    "corpus": Dataset.from_list(corpus),
                    "queries": Dataset.from_list(rows),
                    "relevant_docs": {name: {"neap": 1, "owl": 1} for name in QUERIES},
                    "top_ranked": {name: list(DOCUMENTS) for name in QUERIES},
                }
            }
        }
        self.data_loaded = True

    def task_specific_scores(self, scores: Any, qrels: Any, results: Any, **_: Any) -> Any:
        self.results = results
        return evaluate_p_mrr_change(qrels, results, NO_LONGER_RELEVANT, self.k_values)


def test_p_mrr_is_what_one_computes_by_hand() -> None:
    """Weller et al. 2024 (arXiv 2403.15246): a document at rank 1 that falls to rank 4 gives
    1 - (1/4)/(1/1) = 3/4: it was told to go, and went. One that rises from 3 to 1 although it was
    told to go gives (1/3)/(1/1) - 1 = -2/3. One that stays gives 0. A query counts by the mean of
    its documents, the set by the mean of its queries."""

    def run(*order: str) -> dict[str, float]:
        return {name: 1.0 - place / 10 for place, name in enumerate(order)}

    results = {
        "a-og": run("w", "x", "y", "z"),
        "a-changed": run("x", "y", "z", "w"),  # w: 1 -> 4
        "b-og": run("x", "y", "w", "z"),
        "b-changed": run("w", "y", "x", "z"),  # w: 3 -> 1, y: 2 -> 2
    }
    qrels = {name: {"z": 1} for name in results}
    found = evaluate_p_mrr_change(qrels, results, {"a": ["w"], "b": ["w", "y"]}, (1, 10))
    assert found["p-MRR"] == pytest.approx((3 / 4 + (-2 / 3 + 0) / 2) / 2)  # = 5/24


def test_a_reranker_follows_the_instruction_of_each_query(tmp_path: Path) -> None:
    task = MadeUpFollowIR()
    model = CrossEncoder(str(PARITY / "lm.gguf"))
    result = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    model.close()

    ranks: dict[str, list[str]] = {}
    reranking = qrank.Reranking(str(PARITY / "lm.gguf"))
    for name, query in QUERIES.items():
        ranked = reranking(query, list(DOCUMENTS.values()), instruction=INSTRUCTIONS[name])
        scores = {list(DOCUMENTS)[item.index]: item.score for item in ranked}
        assert task.results[name] == pytest.approx(scores, abs=1e-6)
        ranks[name] = list(scores)
    reranking.close()
    assert ranks["t-og"] != ranks["t-changed"] or ranks["n-og"] != ranks["n-changed"]

    by_query = []
    for query, names in NO_LONGER_RELEVANT.items():
        changes = []
        for name in names:
            before, after = (1 + ranks[f"{query}-{side}"].index(name) for side in ("og", "changed"))
            changes.append(after / before - 1 if before >= after else 1 - before / after)
        by_query.append(sum(changes) / len(changes))
    assert result.task_results[0].get_score() == pytest.approx(sum(by_query) / len(by_query))


def test_an_embedder_is_told_the_task_and_documents_are_not() -> None:
    class Asked(AbsTaskRetrieval):
        metadata = metadata("Asked", "Retrieval", "ndcg_at_10", {"query": "Find tides"})

    said: dict[str, Any] = {"task_metadata": Asked.metadata, "show_progress_bar": False}
    model = Encoder("tiny", {"Other": "Find owls"})
    texts = ["tides", "owls"]
    loader = DataLoader(Dataset.from_dict({"text": texts}), batch_size=1)
    query = model.encode(loader, prompt_type=PromptType.query, **said)
    document = model.encode(loader, prompt_type=PromptType.document, **said)
    model.close()
    expected = qrank.embed(texts, model="tiny", query=True, instruction="Find tides")
    assert query == pytest.approx(expected, abs=1e-5)
    assert document == pytest.approx(qrank.embed(texts, model="tiny"), abs=1e-5)
    assert query != pytest.approx(document, abs=1e-3)


def test_a_written_prompt_comes_before_the_task_s_and_that_before_its_kind_s() -> None:
    class Kind(AbsTaskRetrieval):
        metadata = metadata("Kind", "Retrieval", "ndcg_at_10")

    with_prompt = metadata("Kind", "Retrieval", "ndcg_at_10", {"query": "From the task"})
    assert task_instruction(with_prompt, {"Kind": {"query": "Written"}}) == "Written"
    assert task_instruction(with_prompt, {"Kind": "Written"}) == "Written"
    assert task_instruction(with_prompt, {}) == "From the task"
    assert task_instruction(Kind.metadata, {}) == AbsTaskRetrieval.abstask_prompt
    assert AbsTaskRetrieval.abstask_prompt not in (None, "", TASK)


def test_models_without_a_place_for_instructions_get_none() -> None:
    model = CrossEncoder(str(PARITY / "bert-rank.gguf"))
    task = MadeUpFollowIR()
    mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    model.close()
    asked = f"{QUERIES['t-changed']} {INSTRUCTIONS['t-changed']}"
    ranked = qrank.rerank(asked, list(DOCUMENTS.values()), model=str(PARITY / "bert-rank.gguf"))
    expected = {list(DOCUMENTS)[item.index]: item.score for item in ranked}
    assert task.results["t-changed"] == pytest.approx(expected, abs=1e-6)


class MadeUpRetrieval(MadeUpFollowIR):
    """The same documents and queries as a plain retrieval task."""

    metadata = metadata("MadeUpRetrieval", "Retrieval", "ndcg_at_10")

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        super().load_data()
        self.dataset["default"]["test"]["top_ranked"] = None

    def task_specific_scores(self, *_: Any, **__: Any) -> Any:
        return {}


def test_what_is_in_the_results_is_not_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [MadeUpRetrieval(), MadeUpFollowIR()]
    first = Stages(tmp_path, {}, 2).run(tasks, "tiny", "tiny")
    assert {stage for task in first.values() for stage in task} == {"embed", "rerank"}
    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "encode", None)
        patch.setattr(CrossEncoder, "predict", None)
        assert Stages(tmp_path, {}, 2).run(tasks, "tiny", "tiny") == first
    asked: list[str] = []
    predict = CrossEncoder.predict

    def counted(self: CrossEncoder, *inputs: Any, **said: Any) -> Any:
        asked.append(said["task_metadata"].name)
        return predict(self, *inputs, **said)

    monkeypatch.setattr(CrossEncoder, "predict", counted)
    Stages(tmp_path, {}, 3).run(tasks, "tiny", "tiny")  # another --top-k, another ranking
    assert asked == ["MadeUpRetrieval"]


def test_the_script_runs_both_stages_on_a_beir_folder(tmp_path: Path) -> None:
    folder = tmp_path / "sea"
    (folder / "qrels").mkdir(parents=True)
    rows = [{"_id": name, "title": "", "text": text} for name, text in DOCUMENTS.items()]
    write(folder / "corpus.jsonl", rows)
    write(folder / "queries.jsonl", [{"_id": "q1", "text": "barn owl"}, {"_id": "q2", "text": "x"}])
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\towl\t1\n", "utf-8")

    done = script(tmp_path, "--beir", folder, "--embed-model", "tiny", "--rerank-model", "tiny")
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("sea"))
    assert row.split() == ["sea", "ndcg_at_10", "100.00", "100.00"]
    written = sorted(path.parts[-2:] for path in (tmp_path / "out").rglob("sea.json"))
    assert len(written) == 2, written
    stage = next(path for path in (tmp_path / "out").rglob("sea.json") if "top_k_2" in str(path))
    assert json.loads(stage.read_text("utf-8"))["scores"]["test"][0]["ndcg_at_10"] == 1.0


def test_the_script_runs_on_a_file_of_queries_beside_documents(tmp_path: Path) -> None:
    for name, text in DOCUMENTS.items():
        (tmp_path / f"{name}.md").write_text(text, "utf-8")
    write(tmp_path / "queries.jsonl", [{"query": "barn owl", "relevant": ["owl.md"]}])
    done = script(tmp_path, "--beir", "queries.jsonl", "--embed-model", "tiny")
    assert done.returncode == 0, done.stderr
    [row] = [line for line in done.stdout.splitlines() if "ndcg_at_10" in line]
    assert row.endswith("100.00")


def test_the_script_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    for words in (["--beir", "nowhere", "--embed-model", "tiny"], ["--tasks", "Nonsense"]):
        done = script(tmp_path, *words, "--rerank-model", "tiny")
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("mteb_tasks: "), done.stderr
        assert "Traceback" not in done.stderr


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def script(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "benchmarks" / "mteb_tasks.py", "--output", "out"]
    return subprocess.run(
        [*map(str, command), "--top-k", "2", *map(str, words)],
        cwd=folder,
        env=clean_environment(folder) | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
