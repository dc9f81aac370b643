"""Hybrid searches with calibrated models: the score is the probability of relevance."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from support import PARITY, SAMPLE, Run

from qrank import Index
from qrank.models.registry import Registry, Role
from qrank.searching.scores.calibration import ALONE, probability

Qrank = Callable[..., Run]
MADE_UP = ("xqzzy flurbin", "blorptang wuzzle", "zibqua nemuro fogaha", "qwxv", "mimsy borogoves")
UNRELATED = (  # the sample has nothing of this
    "mortgage interest rates in the nineties",
    "visa requirements for diplomats",
    "kubernetes ingress annotations for grpc",
    "purple accordion senator volcano",
    "best pizza in naples",
    "banana helicopter tuesday",
)


def answered(qrank: Qrank, db: Path, query: str, *flags: object) -> Run:
    return qrank("search", "--db", db, "--json", *flags, "--", query)


@pytest.mark.parametrize("flag", ["--rerank", "--no-rerank"])
def test_a_score_is_a_probability_and_never_rises(qrank: Qrank, sample_db: Path, flag: str) -> None:
    for query in ("how do I keep a sourdough starter alive", "boats and wind"):
        hits = answered(qrank, sample_db, query, flag, "-n", "60").json()["results"]
        assert {(hit["score_kind"], hit["calibrated"]) for hit in hits} == {("relevance", True)}
        scores = [hit["score"] for hit in hits]
        assert scores == sorted(scores, reverse=True)
        assert 0 < scores[-1] < scores[0] < 1


def test_the_order_is_the_stages(qrank: Qrank, sample_db: Path) -> None:
    hits = answered(qrank, sample_db, "boats and wind", "-n", "60").json()["results"]
    read = [hit["scores"]["rerank"]["score"] for hit in hits if hit["scores"]["rerank"]]
    rest = [hit["scores"]["fused"]["rank"] for hit in hits if not hit["scores"]["rerank"]]
    assert len(read) == 30
    assert read == sorted(read, reverse=True)
    assert rest == sorted(rest)
    fused = answered(qrank, sample_db, "boats and wind", "--no-rerank").json()["results"]
    assert [hit["scores"]["fused"]["rank"] for hit in fused] == list(range(1, 11))


def test_it_does_not_depend_on_how_many_are_shown(qrank: Qrank, sample_db: Path) -> None:
    one, many = (
        answered(qrank, sample_db, "boats and wind", "-n", n).json()["results"] for n in (3, 150)
    )
    assert [hit["id"] for hit in one] == [hit["id"] for hit in many[:3]]
    assert [hit["score"] for hit in one] == pytest.approx([h["score"] for h in many[:3]], abs=1e-6)


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        (("--mode", "bm25"), "bm25"),
        (("--mode", "vector"), "vector"),
        (("--rerank-model", PARITY / "cls.gguf", "--candidates", "10"), "rerank"),
        (("--mode", "bm25", "--rerank"), "rerank"),
    ],
    ids=["bm25", "vector", "a model that nobody measured", "bm25, reranked"],
)
def test_elsewhere_a_score_is_what_it_was(
    qrank: Qrank, sample_db: Path, flags: tuple[object, ...], kind: str
) -> None:
    hits = answered(qrank, sample_db, "boats and wind", *flags).json()["results"]
    assert {(hit["score_kind"], hit["calibrated"]) for hit in hits} == {(kind, False)}
    assert all(hit["score"] == hit["scores"][kind]["score"] for hit in hits)


def test_an_index_without_vectors_has_no_probabilities(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "tea.md").write_text("Steep green tea for two minutes.\n", "utf-8")
    qrank("index", "tea.md", "--no-embed", "--db", "i.db")
    [hit] = answered(qrank, tmp_path / "i.db", "tea", "--no-rerank").json()["results"]
    assert (hit["score_kind"], hit["calibrated"]) == ("fused", False)


@pytest.mark.parametrize("rerank", [True, False])
def test_nonsense_scores_low(sample_db: Path, rerank: bool) -> None:
    with Index(sample_db) as index:
        for query in MADE_UP + UNRELATED:
            answer = index.search(query, rerank=rerank)
            assert answer.results[0].score < 0.3, query
            assert "weak results" in " ".join(answer.notices), query
            assert not index.search(query, rerank=rerank, min_score=0.5)


def test_weak_results_are_told_in_a_pipe(qrank: Qrank, sample_db: Path) -> None:
    for query, said in ((MADE_UP[0], "a word of the query"), (UNRELATED[0], "not relevant")):
        run = answered(qrank, sample_db, query)
        assert "weak results" in run.stderr
        assert said in run.stderr
        assert run.json()["notices"]


@pytest.mark.parametrize("rerank", [True, False])
def test_right_answers_of_the_sample_score_high(sample_db: Path, rerank: bool) -> None:
    right = []
    with Index(sample_db) as index:
        for line in (SAMPLE / "queries.jsonl").read_text("utf-8").splitlines():
            asked = json.loads(line)
            answer = index.search(asked["query"], rerank=rerank, limit=1)
            [best] = answer.results
            assert best.calibrated
            wanted = {str(SAMPLE / place.rpartition(":")[0]) for place in asked["relevant"]}
            if best.path in wanted:
                right.append(best.score)
    assert len(right) > 30
    assert median(right) > 0.5


def test_weights_of_the_registry_are_whole() -> None:
    wanted = {"base", "cosine", "words", "amount", "place"}
    entries = [e for e in Registry().of_role(Role.embedder) if e.calibration]
    assert {"tiny", "minilm", "e5-small"} <= {entry.alias for entry in entries}
    reranker = Registry().resolve(Role.reranker, "tiny").entry
    for entry in entries:
        # default searches, too, which the bundled reranker is part of, have probabilities
        assert "tiny" in entry.calibration or entry.alias in reranker.not_behind
        for name, weights in entry.calibration.items():
            assert weights.keys() == wanted | ({"p_yes"} if name != ALONE else set())


def test_probability_is_defined_for_extremes() -> None:
    weights = {"base": 0.0, "cosine": 1.0}
    assert probability({"cosine": -1e6}, weights) == pytest.approx(0)
    assert probability({"cosine": 1e6}, weights) == pytest.approx(1)
    assert probability({"cosine": math.log(3)}, weights) == pytest.approx(0.75)


def test_a_handful_of_chunks_is_not_enough_for_probabilities(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "tide.md").write_text("The tide rises twice a day because of the moon.\n")
    assert qrank("index", tmp_path, "--db", tmp_path / "i.db").returncode == 0
    run = answered(qrank, tmp_path / "i.db", "tide")
    [hit] = run.json()["results"]
    assert (hit["score_kind"], hit["calibrated"], run.stderr) == ("rerank", False, "")
