"""The Python API: the names that are promised, and what the command line does through them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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
        *("Result", "__version__", "embed", "rerank"),
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


def test_errors_are_qrank_s() -> None:
    with pytest.raises(qrank.QrankError, match="no index"), qrank.Index("/nowhere/i.db") as index:
        index.search("x")
    with pytest.raises(qrank.QrankError, match="unknown reranker"):
        qrank.rerank("x", ["y"], model="guess")
