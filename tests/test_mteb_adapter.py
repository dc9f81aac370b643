"""qrank's models as mteb asks for them: the adapter, on the interface that mteb_interface.py
holds of it. test_mteb.py, which needs mteb, runs whole tasks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import mteb_interface
import numpy as np
import pytest
from mteb_interface import KIND_PROMPT, DataLoader, PromptType, TaskMetadata
from support import PARITY, ROOT

import qrank

DOCUMENTS = ["Spring tides come at full moon.", "The barn owl hunts at night.", "Green tea."]
SILENT = {"show_progress_bar": False}


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, module in mteb_interface.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    sys.modules.pop("mteb_adapter", None)
    yield importlib.import_module("mteb_adapter")
    del sys.modules["mteb_adapter"]  # what it was made with goes, too


def loader(*texts: str, **columns: list[str]) -> DataLoader:
    columns = {"text": list(texts)} | columns
    return DataLoader(
        [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    )


def test_an_embedder_is_told_the_task_and_documents_are_not(adapter: Any) -> None:
    task = TaskMetadata("Asked", {"query": "Find tides"})
    model = adapter.Encoder("tiny", {"Other": "Find owls"})
    inputs = loader(*DOCUMENTS)
    query = model.encode(inputs, task_metadata=task, prompt_type=PromptType.query, **SILENT)
    document = model.encode(inputs, task_metadata=task, prompt_type=PromptType.document, **SILENT)
    model.close()
    expected = qrank.embed(DOCUMENTS, model="tiny", query=True, instruction="Find tides")
    np.testing.assert_allclose(query, expected, atol=1e-5)
    np.testing.assert_allclose(document, qrank.embed(DOCUMENTS, model="tiny"), atol=1e-5)
    assert np.abs(query - document).max() > 1e-3


def test_a_written_prompt_comes_before_the_task_s_and_that_before_its_kind_s(adapter: Any) -> None:
    task = TaskMetadata("Kind", {"query": "From the task"})
    assert adapter.task_instruction(task, {"Kind": {"query": "Written"}}) == "Written"
    assert adapter.task_instruction(task, {"Kind": "Written"}) == "Written"
    assert adapter.task_instruction(task, {"Other": "Written"}) == "From the task"
    assert adapter.task_instruction(TaskMetadata("Kind", "As text"), {}) == "As text"
    assert adapter.task_instruction(TaskMetadata("Kind"), {}) == KIND_PROMPT


def predicted(adapter: Any, model_file: str) -> tuple[list[float], list[dict[str, Any]]]:
    """The scores of every pair of two queries and DOCUMENTS, and the pairs."""
    questions = [
        {"query": "tides", "instruction": "Find documents about tides"},
        {"query": "tides", "instruction": "Find documents about tides, but not at full moon"},
    ]
    pairs = [(question, text) for question in questions for text in DOCUMENTS]
    model = adapter.CrossEncoder(str(PARITY / model_file))
    scores = model.predict(
        loader(
            *(f"{question['query']} {question['instruction']}" for question, _ in pairs),
            query=[question["query"] for question, _ in pairs],
            instruction=[question["instruction"] for question, _ in pairs],
        ),
        loader(*(text for _, text in pairs)),
        task_metadata=TaskMetadata("Made up"),
        **SILENT,
    )
    model.close()
    return scores, questions


def test_a_reranker_follows_the_instruction_of_each_query(adapter: Any) -> None:
    scores, questions = predicted(adapter, "lm.gguf")
    expected = []
    for question in questions:
        ranked = qrank.rerank(
            question["query"],
            DOCUMENTS,
            model=str(PARITY / "lm.gguf"),
            instruction=question["instruction"],
        )
        expected += [item.score for item in sorted(ranked, key=lambda item: item.index)]
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert np.abs(np.subtract(scores[:3], scores[3:])).max() > 1e-6


def test_models_without_a_place_for_instructions_read_them_as_the_query(adapter: Any) -> None:
    scores, questions = predicted(adapter, "bert-rank.gguf")
    expected = []
    for question in questions:
        asked = f"{question['query']} {question['instruction']}"
        ranked = qrank.rerank(asked, DOCUMENTS, model=str(PARITY / "bert-rank.gguf"))
        expected += [item.score for item in sorted(ranked, key=lambda item: item.index)]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_a_model_is_named_by_its_file_so_that_no_other_s_results_are_taken(adapter: Any) -> None:
    names = set()
    for kind, file in ((adapter.CrossEncoder, "lm.gguf"), (adapter.Encoder, "embed.gguf")):
        model = kind(str(PARITY / file))
        meta = model.mteb_model_meta
        model.close()
        assert meta["name"] == f"qrank/{file.removesuffix('.gguf')}"
        names.add(meta["revision"])
    assert len(names) == 2
