"""search --refresh: changed files are indexed first, within the time limit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import Run, complaint, read_only

import qrank as package

Qrank = Callable[..., Run]
BM25 = ("--mode", "bm25", "--format", "{path}")


@pytest.fixture
def notes(qrank: Qrank, tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("kestrels hover\n")
    (folder / "b.md").write_text("owls call\n")
    qrank("init")
    qrank("index", "notes", "--no-embed")
    return folder


def test_a_search_finds_what_changed_since(qrank: Qrank, notes: Path) -> None:
    (notes / "a.md").unlink()
    (notes / "b.md").write_text("owls sleep\n")
    (notes / "c.md").write_text("kestrels sleep\n")
    assert qrank("search", "kestrels", *BM25).stdout == "notes/a.md\n"  # as it was
    run = qrank("search", "kestrels", "--refresh", *BM25)
    assert (run.stdout, run.stderr) == ("notes/c.md\n", "")
    assert qrank("search", "owls call", *BM25, "--stale", "fail").stdout == "notes/b.md\n"
    assert qrank("search", "call", *BM25).returncode == 1


def test_the_setting_does_so_each_time(qrank: Qrank, notes: Path) -> None:
    (notes / "c.md").write_text("curlews\n")
    assert qrank("search", "curlews", *BM25, QRANK_REFRESH="2").stdout == "notes/c.md\n"
    (notes / "c.md").write_text("plovers\n")
    run = qrank("search", "plovers", "--no-refresh", *BM25, QRANK_REFRESH="2")
    assert run.returncode == 1
    assert "refresh" in complaint(qrank("config", "set", "refresh", "often"))


def test_what_is_left_is_said(qrank: Qrank, notes: Path) -> None:
    (notes / "c.html").write_text("<p>terns")  # read in a process of its own
    (notes / "d.md").write_text("terns\n")
    answer = qrank("search", "terns", "--refresh", "--mode", "bm25", "--json").json()
    assert [Path(r["path"]).name for r in answer["results"]] == ["d.md"]
    assert "1 changed file was not read (run qrank index)" in answer["notices"]
    with package.Index(notes.parent / ".qrank" / "index.db") as index:
        (notes / "d.md").unlink()
        assert index.refresh(0.0) == ["not all folders were checked in 0 s (run qrank index)"]
        assert index.status()["files"] == 3  # nothing is gone that was not looked for
        assert index.refresh(60) == ["1 changed file was not read (run qrank index)"]
        assert index.status()["files"] == 2


def test_vectors_are_made_in_the_time_that_is_left(qrank: Qrank, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("kestrels hover\n")
    qrank("init")
    qrank("index", "notes", "--embed-model", "tiny")
    (folder / "b.md").write_text("owls call at night\n")
    (folder / "c.md").write_text("owls sleep by day\n")

    def vectors() -> int:
        [model] = qrank("status", "--json").json()["models"]
        return int(model["vectors"])

    ask = ("search", "owls", "--no-rerank", "--json")
    qrank(*ask, "--mode", "bm25", QRANK_REFRESH="60")
    assert vectors() == 1  # no model is loaded for a search by words
    (folder / "b.md").write_text("owls call\n")
    answer = qrank(*ask, QRANK_REFRESH="60").json()
    assert vectors() == 2  # of what was read just now
    found = {Path(r["path"]).name: r["scores"]["vector"] for r in answer["results"]}
    assert found["b.md"] is not None
    with package.Index(tmp_path / ".qrank" / "index.db") as index:
        (folder / "b.md").write_text("owls call again\n")
        index.refresh(0, vectors=True)
        assert index.missing_vectors()[0] == 1
        index.refresh(60, vectors=True)
        assert index.missing_vectors()[0] == 1
        assert index.search("owls call again", mode="vector").results[0].path.endswith("b.md")


def test_an_index_that_can_t_be_written_is_searched_as_it_is(qrank: Qrank, notes: Path) -> None:
    (notes / "c.md").write_text("kestrels\n")
    with read_only(notes.parent / ".qrank") as prefix:
        run = qrank("search", "kestrels", "--refresh", *BM25, prefix=prefix)
    assert run.stdout == "notes/a.md\n"
    assert run.stderr.startswith("qrank: not refreshed: ")
    assert len(run.stderr.splitlines()) == 1
    assert "there is no index" in complaint(
        qrank("search", "x", "--refresh", "--db", notes.parent / "none.db")
    )
