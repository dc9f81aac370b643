"""A search in several indexes: results name their index, and there are no duplicates."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from support import Run, complaint

import qrank
from qrank import json_form
from qrank.indexes import fuse_indexes
from qrank.results import Answer, RerankScore, Result, Scores
from qrank.searching.selection import Selection

Qrank = Callable[..., Run]


@pytest.fixture
def two(qrank: Qrank, tmp_path: Path) -> list[str]:
    """--db options for two indexes that have tea.md in common."""
    (tmp_path / "work").mkdir()
    (tmp_path / "tea.md").write_text("# Tea\n\nSteep green tea for two minutes.\n")
    (tmp_path / "work" / "coffee.md").write_text("# Coffee\n\nSteep coffee for four minutes.\n")
    (tmp_path / "work" / "row.md").write_text("---\nkind: log\n---\n\nThe steep path home.\n")
    assert qrank("index", "tea.md", "--db", "own.db").returncode == 0
    assert qrank("index", "tea.md", "work", "--db", "work.db", "--no-embed").returncode == 0
    return ["--db", "own.db", "--db", "work.db"]


def test_results_of_several_indexes_say_which_and_come_once(
    qrank: Qrank, two: list[str], tmp_path: Path
) -> None:
    schema = json.loads(json_form.schema("search"))
    for mode in ("bm25", "hybrid"):
        answer = qrank("search", "steep", *two, "--mode", mode, "--json").json()
        jsonschema.validate(answer, schema)
        results = answer["results"]
        found = {Path(r["path"]).name: Path(r["index"]).name for r in results}
        assert found == {"tea.md": "own.db", "coffee.md": "work.db", "row.md": "work.db"}
        assert [r["rank"] for r in results] == [1, 2, 3]
        scores = [r["score"] for r in results]
        assert scores == sorted(scores, reverse=True)
        assert {r["calibrated"] for r in results} == {False}
    shown = qrank("search", "steep", *two, "--mode", "bm25").stdout
    assert "tea.md:1-3  [own.db]" in shown
    assert "coffee.md:1-3  [work.db]" in shown
    line = qrank("search", "coffee", *two, "--format", "{index} {path}", "-n", "1").stdout
    assert line == f"{tmp_path / 'work.db'} work/coffee.md\n"
    assert "index" not in qrank("search", "steep", "--db", "own.db", "--jsonl").lines()[0]


def test_pages_order_literals_and_fields_are_of_all_indexes(qrank: Qrank, two: list[str]) -> None:
    words = ("search", "steep", *two, "--mode", "bm25", "--format", "{path}")
    whole = qrank(*words).stdout.splitlines()
    pages = [qrank(*words, "-n", "1", "--offset", i).stdout.strip() for i in range(3)]
    assert pages == whole
    assert qrank(*words, "--sort", "path").stdout.splitlines() == sorted(whole)
    listed = qrank("search", "-F", "minutes", *two, "--format", "{path}").stdout.splitlines()
    assert listed == ["tea.md", "work/coffee.md"]
    assert (
        qrank(*words, "--where", "kind=log").stdout == "work/row.md\n"
    )  # own.db has no such field
    assert "there is no field 'colour'" in complaint(qrank(*words, "--where", "colour=red"))
    terms = qrank("search", "steep coffee", *two, "--mode", "bm25", "--explain", "--json").json()
    best = terms["results"][0]["scores"]["bm25"]["terms"]
    assert set(best) <= {"steep", "coffe", "coffee"}
    assert best


def test_a_field_that_none_has_names_those_of_the_index_that_has_some(
    qrank: Qrank, two: list[str], tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("city,size\nPorto,5\nLisbon,6\n", "utf-8")
    qrank("index", tmp_path / "t.csv", "--no-embed", "--db", tmp_path / "t.db")
    words = ("search", "x", "--where", "nope=1", "--db", tmp_path / "t.db", *two)
    assert "there is no field 'nope'; there are: city, " in complaint(qrank(*words))


def test_what_works_on_one_index_says_so(qrank: Qrank, two: list[str]) -> None:
    for words in (["status"], ["similar", "tea.md"], ["index", "work"], ["get", "tea.md"]):
        assert "only qrank search takes several" in complaint(qrank(*words, *two))
    missing = complaint(qrank("search", "steep", "--db", "own.db", "--db", "gone.db"))
    assert "there is no index at gone.db" in missing
    nothing = qrank("search", "zebra", "--mode", "bm25", *two)
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert len(nothing.stderr.splitlines()) == 1
    # The same one twice is one.
    again = qrank("search", "steep", "--db", "own.db", "--db", "own.db", "--jsonl").lines()
    assert [Path(r["path"]).name for r in again] == ["tea.md"]


def test_several_queries_are_put_to_several_indexes(two: list[str], tmp_path: Path) -> None:
    files = [tmp_path / name for name in two[1::2]]
    with qrank.Indexes([qrank.Index(file) for file in files]) as indexes:
        answer = indexes.search(["green tea", "coffee"], mode="bm25", sort="path")
        assert [Path(r.path).name for r in answer] == ["tea.md", "coffee.md"]
        assert indexes.bm25_terms(answer).keys() == {r.id for r in answer}
        with pytest.raises(ValueError, match="limit"):
            indexes.search("tea", limit=0)
    with pytest.raises(qrank.InputError):
        qrank.Indexes([])


def answer(*scores: float, weight: float = 1.0, prefix: str = "a") -> Answer:
    """The answer of an index whose reranker said these, with that share of the score."""
    results = [
        Result(
            id=f"{prefix}{rank}",
            path=f"/{prefix}{rank}",
            collection="default",
            title="",
            heading="",
            start_line=1,
            end_line=1,
            start_byte=0,
            end_byte=1,
            page=None,
            text="x",
            fields={},
            stale=False,
            rank=rank,
            score=weight * p + (1 - weight),
            score_kind="rerank",
            scores=Scores(rerank=RerankScore(weight * p + (1 - weight), p, cached=False)),
        )
        for rank, p in enumerate(scores, 1)
    ]
    models = {"embed": "m", "rerank": "r"}
    return Answer("q", "hybrid", models, results, reranked=len(results))


def test_scores_are_compared_only_where_they_mean_the_same() -> None:
    by_score = fuse_indexes(
        {"A": answer(0.9, 0.2), "B": answer(0.8, 0.7, prefix="b")}, Selection(limit=3)
    )
    assert [(r.id, r.index) for r in by_score] == [("a1", "A"), ("b1", "B"), ("b2", "B")]
    assert [r.score for r in by_score] == [0.9, 0.8, 0.7]
    # Where the rest of the score depends on the index, the best of each come first.
    mixed = {"A": answer(0.9, 0.2, weight=0.5), "B": answer(0.8, 0.7, weight=0.5, prefix="b")}
    assert [r.id for r in fuse_indexes(mixed, Selection(limit=4))] == ["a1", "b1", "b2", "a2"]
    assert [r.rank for r in fuse_indexes(mixed, Selection(limit=2, offset=2))] == [3, 4]
