"""The sample queries: the passage that answers is among the first three for at least 85 %."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from support import SAMPLE, Run

QUERIES = [json.loads(line) for line in (SAMPLE / "queries.jsonl").read_text("utf-8").splitlines()]


def test_the_sample_is_what_the_readme_says() -> None:
    documents = [p for p in SAMPLE.rglob("*") if p.is_file() and p.parent != SAMPLE]
    assert len(documents) >= 40
    assert len(QUERIES) >= 40
    for query in QUERIES:
        for place in query["relevant"]:
            path, _, line = place.rpartition(":")
            assert (SAMPLE / path).read_text("utf-8").splitlines()[int(line) - 1].strip()


def test_the_default_command_finds_the_answers(qrank: Callable[..., Run], sample_db: Path) -> None:
    run = qrank("search", "--queries", SAMPLE / "queries.jsonl", "-n", "3", "--db", sample_db)
    answers = {answer["id"]: answer for answer in run.lines()}
    missed = [query["id"] for query in QUERIES if not answered(query, answers[query["id"]])]
    assert len(missed) <= 0.15 * len(QUERIES), missed


def answered(query: dict, answer: dict) -> bool:
    """Whether a result holds one of the lines that answer the query."""
    wanted = [place.rpartition(":") for place in query["relevant"]]
    return any(
        result["path"] == str(SAMPLE / path)
        and result["start_line"] <= int(line) <= result["end_line"]
        for result in answer["results"]
        for path, _, line in wanted
    )
