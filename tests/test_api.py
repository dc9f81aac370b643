"""The Python API: the names that are promised, and what the command line does through them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import PARITY

import qrank


def test_the_exported_names_are_these_and_all_are_there() -> None:
    assert sorted(qrank.__all__) == qrank.__all__
    assert set(qrank.__all__) == {
        *(
            "Answer",
            "Embedding",
            "Index",
            "IndexReport",
            "Mode",
            "Placement",
            "QrankError",
            "RankedText",
        ),
        *("Reranking", "Result", "__version__", "embed", "rerank"),
    }
    for name in qrank.__all__:
        assert getattr(qrank, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = qrank.nonsense  # type: ignore[attr-defined]


def test_index_search_and_search_again(tmp_path: Path) -> None:
    (tmp_path / "tea.md").write_text("# Tea\n\nSteep green tea for two minutes.\n", "utf-8")
    with qrank.Index(tmp_path / "i.db") as index:
        assert index.add([tmp_path]).added == 1
        first = index.search("steeping tea")
        assert first.results[0].path == str(tmp_path / "tea.md")
        assert (
            index.search("steeping tea", mode="bm25", rerank=False).results[0].score_kind == "bm25"
        )
        (tmp_path / "sea.md").write_text("The tide turns twice a day.\n", "utf-8")
        index.add([tmp_path])
        assert index.search("tide", limit=1).results[0].path == str(tmp_path / "sea.md")
        assert index.status()["files"] == 2


def test_rerank_and_embed_without_an_index() -> None:
    ranked = qrank.rerank("green tea", ["the tide", "green tea leaves", "an owl"])
    assert sorted(item.index for item in ranked) == [0, 1, 2]
    assert ranked[0].index == 1
    vectors = qrank.embed(["one", "two"])
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert qrank.embed(["one"], query=True)[0] != pytest.approx(vectors[0], abs=1e-3)


def test_a_reranker_kept_loaded_scores_as_one_loaded_for_each_query() -> None:
    texts = ["the tide turns", "green tea leaves", "an owl at night"]
    reranking = qrank.Reranking("tiny")
    assert reranking.takes_instruction
    for query in ("green tea", "when does an owl hunt"):
        assert reranking(query, texts) == qrank.rerank(query, texts, model="tiny")
    told = reranking("owl", texts, instruction="Find birds", candidates=1)
    assert told == qrank.rerank("owl", texts, model="tiny", instruction="Find birds", candidates=1)
    assert [item.index for item in told] == [2]
    with pytest.raises(qrank.QrankError, match="query is empty"):
        reranking(" ", texts)
    assert reranking("tea", []) == []
    reranking.close()


def test_what_takes_an_instruction_is_seen_from_the_file() -> None:
    for made, file, takes in (
        (qrank.Embedding, "embed.gguf", True),
        (qrank.Embedding, "bert-embed.gguf", False),
        (qrank.Reranking, "lm.gguf", True),
        (qrank.Reranking, "cls.gguf", True),
        (qrank.Reranking, "bert-rank.gguf", False),
    ):
        model = made(str(PARITY / file))
        assert model.takes_instruction is takes, file
        model.close()


def test_errors_are_qrank_s() -> None:
    with pytest.raises(qrank.QrankError, match="no index"), qrank.Index("/nowhere/i.db") as index:
        index.search("x")
    with pytest.raises(qrank.QrankError, match="unknown reranker"):
        qrank.rerank("x", ["y"], model="guess")
