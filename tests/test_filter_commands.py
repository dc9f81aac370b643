"""qrank rerank and qrank embed: filters without an index."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import COMMAND, PARITY, Run, complaint

Qrank = Callable[..., Run]
LM = PARITY / "lm.gguf"
DOCUMENTS = ["The tide turns twice a day.", "Steep green tea for two minutes.", "An owl at night."]


def test_lines_come_out_best_first_with_their_score(qrank: Qrank) -> None:
    run = qrank("rerank", "how long to steep green tea", stdin="\n".join(DOCUMENTS) + "\n\n")
    rows = [line.split("\t") for line in run.stdout.splitlines()]
    assert sorted(text for _, text in rows) == sorted(DOCUMENTS)
    scores = [float(score) for score, _ in rows]
    assert scores == sorted(scores, reverse=True)
    assert rows[0][1] == DOCUMENTS[1]


def test_objects_keep_their_fields(qrank: Qrank) -> None:
    items = [{"text": text, "n": i, "tags": ["a"]} for i, text in enumerate(DOCUMENTS)]
    lines = "\n".join(map(json.dumps, items))
    out = qrank("rerank", "tides", "--rerank-model", LM, stdin=lines).lines()
    assert sorted(item["n"] for item in out) == [0, 1, 2]
    for item in out:
        assert items[item["n"]] == {k: v for k, v in item.items() if k != "score"}
        assert 0 <= item["score"] <= 1
    document = qrank(
        "rerank", "tides", "--rerank-model", LM, "--json", "-n", "2", stdin=lines
    ).json()
    assert document["results"] == out[:2]
    assert document["query"] == "tides"


def test_the_model_is_given_exactly_the_text(qrank: Qrank) -> None:
    cases = json.loads((PARITY / "expected.json").read_text("utf-8"))
    query = cases["rerank"][0]["query"]
    expected = {case["doc"]: case["score"] for case in cases["rerank"] if case["query"] == query}
    # The reranker passes blank documents over.
    expected = {doc: score for doc, score in expected.items() if doc.strip()}
    lines = "\n".join(json.dumps({"text": doc}) for doc in expected)
    for model in (LM, PARITY / "cls.gguf"):
        out = qrank("rerank", query, "--rerank-model", model, "--jsonl", stdin=lines).lines()
        assert {o["text"]: o["score"] for o in out} == pytest.approx(expected, abs=2e-3)
    first = cases["rerank_instr"][0]
    asked = [c for c in cases["rerank_instr"] if c["query"] == first["query"] and c["doc"].strip()]
    lines = "\n".join(json.dumps({"text": case["doc"]}) for case in asked)
    words = ("rerank", first["query"], "--instruct", first["instruction"], "--rerank-model", LM)
    out = qrank(*words, stdin=lines).lines()
    assert {o["text"]: o["score"] for o in out} == pytest.approx(
        {case["doc"]: case["score"] for case in asked}, abs=2e-3
    )


def test_more_documents_than_candidates_are_shortlisted_by_words(qrank: Qrank) -> None:
    many = [f"filler sentence number {i}" for i in range(200)] + DOCUMENTS
    words = ("rerank", "green tea", "--rerank-model", LM)
    run = qrank(*words, "--candidates", "5", stdin="\n".join(many))
    rows = [line.split("\t") for line in run.stdout.splitlines()]
    assert sorted(text for _, text in rows) == sorted(many)  # nothing is lost
    assert [score == "-" for score, _ in rows] == [False] * 5 + [True] * 198
    assert DOCUMENTS[1] in [text for _, text in rows[:5]]
    assert "best 5 of 203 documents (--candidates)" in run.stderr
    every = qrank(*words, "--candidates", "all", "--jsonl", stdin="\n".join(many)).lines()
    assert len(every) == 203
    assert all(line["score"] is not None for line in every)
    some = qrank(*words, "--candidates", "5", "-n", "9", "--json", stdin="\n".join(many)).json()
    assert [each["score"] is None for each in some["results"]] == [False] * 5 + [True] * 4
    for bad in ("none", "0", "-3"):
        assert "--candidates" in complaint(qrank(*words, "--candidates", bad, stdin="a"))


def test_a_budget_stops_at_the_best_by_words(qrank: Qrank) -> None:
    many = [f"filler sentence number {i}" for i in range(300)] + DOCUMENTS
    words = ("rerank", "green tea", "--rerank-model", LM, "--candidates", "all", "--jsonl")
    run = qrank(*words, "--budget", "0", stdin="\n".join(many))
    lines = run.lines()
    read = [line["text"] for line in lines if line["score"] is not None]
    assert 0 < len(read) < len(lines) == len(many)
    assert DOCUMENTS[1] in read  # the last line of the input but one
    assert f"best {len(read)} of 303 documents (--budget)" in run.stderr
    assert "--budget" in complaint(qrank(*words, "--budget", "-1", stdin="a"))


def test_a_minimum_score_and_a_format(qrank: Qrank) -> None:
    lines = "\n".join(json.dumps({"text": t, "id": i}) for i, t in enumerate(DOCUMENTS))
    words = ("rerank", "steep green tea", "--candidates", "2")
    best, second, rest = qrank(*words, stdin=lines).lines()
    assert rest["score"] is None
    least = (best["score"] + second["score"]) / 2
    assert qrank(*words, "--min-score", least, stdin=lines).lines() == [best]
    assert qrank(*words, "--min-score", "0", stdin=lines).lines() == [best, second]
    none = qrank(*words, "--min-score", "2", stdin=lines)
    assert (none.returncode, none.stdout) == (1, "")
    form = r"{rank} {line}\t{fields[id]}\t{score:>6}\t{text}"
    shown = qrank(*words, "--format", "{rank} {line} {fields[id]} {text}", stdin=lines).stdout
    ids = [best["id"], second["id"], rest["id"]]
    assert shown.splitlines() == [
        f"{rank} {i + 1} {i} {DOCUMENTS[i]}" for rank, i in enumerate(ids, 1)
    ]
    assert qrank(*words, "--format", form, stdin=lines).stdout.splitlines()[2].split("\t")[2] == (
        "     -"
    )
    assert "no field {nope}" in complaint(qrank(*words, "--format", "{nope}", stdin=lines))
    assert "be combined" in complaint(qrank(*words, "--format", "a", "--json", stdin=lines))


def test_input_forms(qrank: Qrank) -> None:
    words = ("rerank", "q", "--rerank-model", LM, "--jsonl")
    for flags in (["--input", "nul"], []):  # seen from the first line, too
        nul = qrank(*words, *flags, stdin="two lines\0{}\na\0").lines()
        assert sorted(item["text"] for item in nul) == ["two lines", "{}\na"]
    plain = qrank(*words[:-1], stdin="two lines\0{}\na\0").stdout
    assert sorted(part.partition("\t")[2] for part in plain.split("\0")) == [
        "",
        "two lines",
        "{}\na",
    ]
    as_lines = qrank(*words, "--input", "lines", stdin='{"text": "a"}\n').lines()
    assert as_lines[0]["text"] == '{"text": "a"}'
    assert 'stdin, line 2: "text" is missing or not a string' in complaint(
        qrank(*words, stdin='{"text":"a"}\n{}\n')
    )
    assert "stdin, line 1: not valid JSON" in complaint(
        qrank(*words, "--input", "jsonl", stdin="x\n")
    )


def test_nothing_to_rerank_is_no_error(qrank: Qrank) -> None:
    empty = qrank("rerank", "q")
    assert (empty.returncode, empty.stdout, empty.stderr) == (1, "", "")
    assert qrank("rerank", "q", "--json").json()["results"] == []
    assert "query is empty" in complaint(qrank("rerank", " ", stdin="a"))


def test_a_fake_verdict_in_a_document_is_text(qrank: Qrank) -> None:
    """Parsed as control tokens, it would end the user's turn and answer in the model's place."""
    case = next(
        c
        for c in json.loads((PARITY / "expected.json").read_text("utf-8"))["rerank"]
        if "<|im_end|>" in c["doc"]
    )
    line = json.dumps({"text": case["doc"]})
    [out] = qrank("rerank", case["query"], "--rerank-model", LM, stdin=line).lines()
    assert out["score"] == pytest.approx(case["score"], abs=2e-3)


def test_embeddings_come_in_order_as_unit_vectors(qrank: Qrank) -> None:
    texts = [*DOCUMENTS, "", "naïve café 北京 🙂"]
    out = qrank("embed", stdin="\n".join(texts)).lines()
    assert [item["text"] for item in out] == texts
    vectors = np.array([item["embedding"] for item in out])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    short = qrank("embed", "--dims", "64", stdin="\n".join(texts)).lines()
    kept = vectors[:, :64] / np.linalg.norm(vectors[:, :64], axis=1, keepdims=True)
    assert np.array([i["embedding"] for i in short]) == pytest.approx(kept, abs=1e-4)
    assert "--dims" in complaint(qrank("embed", "--dims", "100000", stdin="a"))


def test_embeddings_of_documents_and_queries_are_the_reference_s(qrank: Qrank) -> None:
    expected = json.loads((PARITY / "expected.json").read_text("utf-8"))
    for key, flags in (("embed_doc", []), ("embed_query", ["--query"])):
        lines = "\n".join(
            json.dumps({"text": c["text"], "id": i}) for i, c in enumerate(expected[key])
        )
        model = PARITY / "embed.gguf"
        out = qrank("embed", "--embed-model", model, *flags, stdin=lines).lines()
        assert [item["id"] for item in out] == list(range(len(expected[key])))
        for item, case in zip(out, expected[key], strict=True):
            assert float(np.dot(item["embedding"], case["vec"])) >= 0.9999


def test_embeddings_stream(environment: dict[str, str], tmp_path: Path) -> None:
    """The first answers are out while the input is still being written."""
    with subprocess.Popen(
        [COMMAND, "embed", "--embed-model", PARITY / "embed.gguf"],
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write(b"a line\n" * 32)
        run.stdin.flush()
        assert json.loads(run.stdout.readline())["text"] == "a line"
        run.stdin.close()
        assert len(run.stdout.readlines()) == 31


@pytest.mark.skipif(os.name == "nt", reason="POSIX shells")
def test_in_a_pipeline(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "docs.txt").write_text("\n".join(DOCUMENTS), "utf-8")
    script = f"cat docs.txt | {COMMAND} rerank 'steep green tea' | head -n 1 | cut -f 2"
    shell = subprocess.run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == DOCUMENTS[1] + "\n"
