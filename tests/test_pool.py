"""The pool of indexes and models that a server process keeps open."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from support import wait_until

import qrank
from qrank.errors import IndexFileError
from qrank.serve.pool import Pool


def make_index(path: Path, text: str) -> Path:
    note = path.with_suffix(".md")
    note.write_text(text)
    with qrank.Index(path) as index:
        index.add(note, embed=False)
    return path


def texts(index: qrank.Index, query: str) -> list[str]:
    return [result.text for result in index.search(query, mode="bm25").results]


def test_an_index_is_opened_once_and_again_when_its_file_is_another(tmp_path: Path) -> None:
    path = make_index(tmp_path / "a.db", "the tide comes in\n")
    other = make_index(tmp_path / "b.db", "the tide goes out\n")
    with Pool() as pool:
        with pool.index(path) as first, pool.index(str(path)) as second:
            assert first is second
            assert texts(first, "tide") == ["the tide comes in"]
            other.replace(path)
            with pool.index(path) as third:
                assert texts(third, "tide") == ["the tide goes out"]
            assert texts(first, "tide")  # who has it still can use it
        assert pool.indexes() == [str(path)]
        path.unlink()
        with pool.index(path) as gone, pytest.raises(IndexFileError):
            texts(gone, "tide")
    assert pool.indexes() == []


def test_a_change_of_another_process_is_seen(tmp_path: Path) -> None:
    path = make_index(tmp_path / "a.db", "the tide comes in\n")
    with Pool() as pool:
        with pool.index(path) as index:
            assert not texts(index, "moon")
        (tmp_path / "more.md").write_text("the moon rises\n")
        with qrank.Index(path) as writer:
            writer.add(tmp_path / "more.md", embed=False)
        with pool.index(path) as index:
            assert texts(index, "moon") == ["the moon rises"]


def test_what_is_idle_is_closed_and_what_is_used_is_not(tmp_path: Path) -> None:
    path = make_index(tmp_path / "a.db", "the tide comes in\n")
    with Pool(idle=0.05) as pool:
        with pool.index(path), pool.reranking("tiny") as reranking:
            wait_until(lambda: pool.indexes() == [str(path)])
            assert reranking("tide", ["the tide"])
        wait_until(lambda: pool.indexes() == [])
        with pool.reranking("tiny") as again:
            assert again is not reranking
        with pytest.raises(qrank.ModelError, match="was closed"):
            reranking("tide", ["the tide"])


def test_an_index_does_not_wait_for_a_model_that_loads(tmp_path: Path) -> None:
    path = make_index(tmp_path / "a.db", "the tide comes in\n")
    loading, go = threading.Event(), threading.Event()

    def slow() -> qrank.Index:
        loading.set()
        assert go.wait(60)
        return qrank.Index(path)

    with Pool() as pool:

        def use() -> None:
            with pool._lend(("slow",), slow):
                pass

        thread = threading.Thread(target=use)
        thread.start()
        assert loading.wait(60)
        with pool.index(path) as index:
            assert texts(index, "tide")
        go.set()
        thread.join()


def test_a_model_that_can_t_be_loaded_is_not_kept(tmp_path: Path) -> None:
    with Pool() as pool:
        for _ in range(2):
            with pytest.raises(qrank.ModelError), pool.reranking(str(tmp_path / "none.gguf")):
                pass
