"""qrank search, through the installed command."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import COMMAND, PARITY, SAMPLE, Run, complaint

Qrank = Callable[..., Run]
QUERY = "sourdough starter smells of nail varnish"
RESULT_FIELDS = {
    *("rank", "score", "score_kind", "calibrated", "id", "path", "collection", "title", "heading"),
    *("start_line", "end_line", "start_byte", "end_byte", "page", "text", "fields"),
    *("stale", "scores", "member", "ocr", "hash", "matches", "copies"),
}


def test_an_option_without_its_value_names_the_command_s_help(qrank: Qrank) -> None:
    assert complaint(qrank("search", "tea", "--limit")).endswith("(see qrank search --help)")


def test_an_answer_has_the_contract_s_fields(qrank: Qrank, sample_db: Path) -> None:
    run = qrank("search", QUERY, "--db", sample_db, "--json")
    answer = run.json()
    assert run.returncode == 0
    assert (answer["schema"], answer["query"], answer["mode"]) == (1, QUERY, "hybrid")
    assert answer["models"] == {"embed": "tiny", "rerank": "tiny"}
    assert answer["reranked"] == 30 < answer["candidates"]
    assert answer["truncated"] is False
    assert {"bm25", "embed", "vector", "rerank", "total"} <= set(answer["timings_ms"])
    results = answer["results"]
    assert [result["rank"] for result in results] == list(range(1, 11))
    assert [r["score"] for r in results] == sorted((r["score"] for r in results), reverse=True)
    for result in results:
        assert set(result) == RESULT_FIELDS
        assert set(result["scores"]) == {"bm25", "vector", "fused", "rerank"}
        assert (result["score_kind"], result["calibrated"]) == ("relevance", True)
        assert 0 <= result["score"] <= 1
        assert 0 <= result["scores"]["rerank"]["p_yes"] <= 1
        data = Path(result["path"]).read_bytes()
        assert data[result["start_byte"] : result["end_byte"]].decode() == result["text"]
        assert result["start_line"] == data[: result["start_byte"]].count(b"\n") + 1
        assert result["stale"] is False
    assert results[0]["path"] == str(SAMPLE / "howto" / "sourdough-starter.md")
    assert "nail varnish" in results[0]["text"]


@pytest.mark.parametrize("mode", ["bm25", "vector", "hybrid"])
def test_a_stage_that_did_not_run_is_null(qrank: Qrank, sample_db: Path, mode: str) -> None:
    run = qrank("search", QUERY, "--mode", mode, "--no-rerank", "--db", sample_db, "--jsonl")
    for result in run.lines():
        scores = result["scores"]
        assert scores["rerank"] is None
        assert (scores["fused"] is None) == (mode != "hybrid")
        assert mode != "bm25" or scores["vector"] is None
        assert mode != "vector" or scores["bm25"] is None
        assert result["score_kind"] == ("relevance" if mode == "hybrid" else mode)
        assert mode == "hybrid" or result["score"] == scores[mode]["score"]


def test_a_full_strength_reranker_s_score_is_p_yes(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", QUERY, "--db", sample_db, "--jsonl", "-n", "30", "--rerank-model")
    by_kind = []
    for name in ("lm.gguf", "cls.gguf"):
        results = qrank(*words, PARITY / name).lines()
        assert all(r["score"] == r["scores"]["rerank"]["p_yes"] for r in results)
        by_kind.append({r["id"]: r["score"] for r in results})
    assert by_kind[0] == pytest.approx(by_kind[1], abs=1e-2)


def test_exit_statuses_are_grep_s(qrank: Qrank, sample_db: Path) -> None:
    assert qrank("search", "tides", "--mode", "bm25", "--db", sample_db).returncode == 0
    nothing = qrank("search", "xyzzyplugh", "--mode", "bm25", "--db", sample_db, "--json")
    assert (nothing.returncode, nothing.json()["results"]) == (1, [])
    lines = qrank("search", "xyzzyplugh", "--mode", "bm25", "--db", sample_db, "--jsonl")
    assert (lines.returncode, lines.stdout) == (1, "")
    for words in (["tides", "--nonsense"], ["tides", "--mode", "guess"], ["tides", "-n", "0"], []):
        complaint(qrank("search", *words, "--db", sample_db))
    for empty in ("", "  \n", '""', ' " '):
        assert "query is empty" in complaint(qrank("search", empty, "--db", sample_db))
    assert "no index" in complaint(qrank("search", "tides"))
    assert "'abc' is not a whole number" in complaint(qrank("search", "tides", "-n", "abc"))
    assert "YYYY-MM-DD," in complaint(qrank("search", "tides", "--since", "some day"))
    assert "after --" in complaint(qrank("search", "-tides"))


def test_queries_of_any_kind_are_data(qrank: Qrank, sample_db: Path) -> None:
    for query in (
        '"a',
        "* OR",
        "NEAR(",
        "---",
        "?!",
        "'; DROP TABLE chunk",
        "<|im_end|>",
        "\udcff",
    ):
        run = qrank("search", "--db", sample_db, "--", query)
        assert run.returncode in (0, 1), run
        assert "Traceback" not in run.stderr


def test_more_results_leave_the_first_ones_as_they_are(qrank: Qrank, sample_db: Path) -> None:
    few, many = (
        qrank("search", "boats and wind", "--no-rerank", "--json", "-n", n, "--db", sample_db)
        for n in (5, 200)
    )
    assert len(many.json()["results"]) > 100
    first, again = ({r["id"]: r["score"] for r in run.json()["results"][:5]} for run in (few, many))
    assert list(first) == list(again)
    assert first == pytest.approx(again, abs=1e-6)


def test_paths_alone(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", "sourdough", "--mode", "bm25", "--db", sample_db, "-n", "3")
    paths = qrank(*words, "-l").stdout.splitlines()
    assert paths[0] == str(SAMPLE / "howto" / "sourdough-starter.md")
    assert len(paths) == len(set(paths)) == 3  # -n counts files here
    assert qrank(*words, "-0").stdout.split("\0") == [*paths, ""]


def test_filters(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", "how to keep it fresh", "--db", sample_db, "--jsonl")
    for folder in ("howto", "sample_corpus/howto/", str(SAMPLE / "howto")):
        hits = qrank(*words, "--path", folder).lines()
        assert {Path(hit["path"]).parent.name for hit in hits} == {"howto"}
    for pattern in ("*.txt", "science/*"):
        hits = qrank(*words, "--path", pattern).lines()
        assert hits
        assert all(Path(hit["path"]).match(pattern) for hit in hits)
    assert qrank(*words, "--collection", "default").lines()
    assert qrank(*words, "--collection", "none such").returncode == 1


def test_a_minimum_score_makes_an_exit_status(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", QUERY, "--db", sample_db, "--jsonl")
    best = qrank(*words).lines()[0]["score"]
    assert [hit["rank"] for hit in qrank(*words, "--min-score", best - 1e-4).lines()] == [1]
    assert qrank(*words, "--min-score", "1.1").returncode == 1


def test_a_budget_cuts_reranking_short(qrank: Qrank, sample_db: Path) -> None:
    query = "a question that no other test has had answered and cached"
    answer = qrank("search", query, "--budget", "0", "--db", sample_db, "--json", "-n", "40").json()
    assert 0 < answer["reranked"] < 30
    assert answer["truncated"] is True
    scores = [result["scores"] for result in answer["results"]]
    unread = [each["rerank"] is None for each in scores]
    assert unread == sorted(unread)
    fused = [each["fused"]["rank"] for each in scores if not each["rerank"]]
    assert fused == sorted(fused)


def test_a_query_may_come_from_stdin(qrank: Qrank, sample_db: Path) -> None:
    words = ("--mode", "bm25", "--db", sample_db, "-l")
    typed, piped = qrank("search", "tides", *words), qrank("search", "-", *words, stdin="tides\n")
    assert typed.stdout == piped.stdout != ""


def test_many_queries_from_a_file(qrank: Qrank, sample_db: Path, tmp_path: Path) -> None:
    lines = [{"id": "a", "query": "tides"}, {"id": "b", "query": "xyzzyplugh", "note": "kept"}]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    words = ("search", "--queries", "q.jsonl", "--mode", "bm25", "--db", sample_db)
    answers = qrank(*words).lines()
    assert [(a["id"], a["query"], bool(a["results"])) for a in answers] == [
        ("a", "tides", True),
        ("b", "xyzzyplugh", False),
    ]
    assert answers[1]["note"] == "kept"
    (tmp_path / "q.jsonl").write_text("tides\n\nxyzzyplugh\n", "utf-8")  # plain lines
    answers = qrank(*words).lines()
    assert [(a["query"], bool(a["results"])) for a in answers] == [
        ("tides", True),
        ("xyzzyplugh", False),
    ]
    (tmp_path / "q.jsonl").write_text('{"query": ""}\n{"query": "tides"}\n', "utf-8")
    assert [a["query"] for a in qrank(*words).lines()] == ["tides"]
    (tmp_path / "q.jsonl").write_text('{"id": "a"}\n', "utf-8")
    assert 'q.jsonl, line 1: "query" is missing or not a string' in complaint(qrank(*words))
    assert "give one QUERY" in complaint(qrank(*words, "tides"))


def test_a_changed_file_is_stale(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("tea\n", "utf-8")
    qrank("index", "a.md", "--no-embed", "--db", "i.db")
    words = ("search", "tea", "--mode", "bm25", "--db", "i.db", "--jsonl")
    assert qrank(*words).lines()[0]["stale"] is False
    (tmp_path / "a.md").write_text("coffee\n", "utf-8")
    assert qrank(*words).lines()[0]["stale"] is True
    (tmp_path / "a.md").unlink()
    assert qrank(*words).lines()[0]["text"] == "tea"  # what was indexed is not lost


def test_for_people_place_heading_and_marked_terms(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", "nail varnish", "--mode", "bm25", "-n", "1", "--db", sample_db)
    plain = qrank(*words).stdout
    assert "howto/sourdough-starter.md:" in plain
    assert "Keeping a sourdough starter" in plain
    assert "\x1b" not in plain
    assert "\x1b[1;33mnail\x1b[0m" in qrank(*words, "--color", "always").stdout
    assert "\x1b[1;33mnail\x1b[0m" in qrank(*words, CLICOLOR_FORCE="1").stdout
    assert "\x1b" not in qrank(*words, "--color", "never", CLICOLOR_FORCE="1").stdout
    assert "must be one of" in complaint(qrank(*words, "--color", "blue"))


def test_a_document_can_t_drive_the_terminal(qrank: Qrank, tmp_path: Path) -> None:
    evil = "tea \x1b[2J\x1b]0;owned\x07 \x9b31m \u202eback\n"
    (tmp_path / "evil.md").write_text(f"# Tea \x1b[31m\n\n{evil}", "utf-8")
    qrank("index", "evil.md", "--no-embed", "--db", "i.db")
    shown = qrank("search", "tea", "--mode", "bm25", "--db", "i.db", "--color", "never").stdout
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\u202e", "\r"}
    assert "[2J" not in shown  # sequences of a terminal are nothing
    assert "owned" not in shown
    [hit] = qrank("search", "tea", "--mode", "bm25", "--db", "i.db", "--jsonl").lines()
    assert evil.strip() in hit["text"]  # a program gets what the file says


def run_on_terminal(command: list[str], cwd: Path, environment: dict[str, str]) -> str:
    """What a command shows on a terminal of its own (stdout and stderr)."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    shown = b""
    while process.poll() is None or select.select([leader], [], [], 0.1)[0]:
        if select.select([leader], [], [], 0.1)[0]:
            try:
                part = os.read(leader, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not part:
                break
            shown += part
    os.close(leader)
    process.wait()
    return shown.decode()


def test_on_a_terminal_there_is_colour_and_progress(
    tmp_path: Path, environment: dict[str, str], sample_db: Path
) -> None:
    indexing = run_on_terminal(
        [str(COMMAND), "index", str(SAMPLE), "--db", "i.db"], tmp_path, environment
    )
    assert "embedding" in indexing
    assert "52 added" in indexing
    search = [str(COMMAND), "search", "nail varnish", "--db", str(sample_db), "-n", "1"]
    assert "\x1b[1;33mnail" in run_on_terminal(search, tmp_path, environment)
    plain = run_on_terminal(search, tmp_path, environment | {"NO_COLOR": "1"})
    assert "33m" not in plain


def test_a_closed_pipe_ends_it_quietly(
    sample_db: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    queries = tmp_path / "q.jsonl"
    queries.write_text('{"query": "tides and volcanoes"}\n' * 300, "utf-8")
    words = [COMMAND, "search", "--queries", queries, "--mode", "bm25", "--db", sample_db]
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        assert (run.stderr.read(), run.wait(timeout=120)) == (b"", 0)
