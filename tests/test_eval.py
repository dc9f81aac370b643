"""qrank eval: measures, comparisons of runs, resuming, and TREC output."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import ir_measures
import model_server
import numpy as np
import pytest
from support import COMMAND, PARITY, SAMPLE, Run, complaint, wait_until

from qrank.evaluation import trec
from qrank.evaluation.measure import by_query, difference

DOCUMENTS = {
    "d1": ("Tea", "Green tea steeps for two minutes in water that does not boil."),
    "d2": ("", "Black tea takes boiling water and four minutes."),
    "d3": ("Tides", "The sea rises twice a day because of the moon."),
    "d4": ("Only a title about lighthouses", ""),
    "d5": ("", "Bread dough rises overnight in the fridge."),
}
QUERIES = {"q1": "how long does green tea steep", "q2": "lighthouses", "q3": "moon and sea"}
GRADES = {"q1": {"d1": 2, "d2": 1}, "q2": {"d4": 1}, "q3": {"d5": 1, "d3": 0}, "q4": {"d1": 1}}


def write_beir(
    folder: Path,
    documents: dict[str, tuple[str, str]],
    queries: dict[str, str],
    grades: dict[str, dict[str, int]],
) -> Path:
    """A folder in BEIR layout: documents are (title, text) by id."""
    (folder / "qrels").mkdir(parents=True)
    rows = [{"_id": i, "title": title, "text": text} for i, (title, text) in documents.items()]
    asked = [{"_id": name, "text": text} for name, text in queries.items()]
    for name, lines in (("corpus", rows), ("queries", asked)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    judged = [f"{q}\t{d}\t{g}" for q, found in grades.items() for d, g in found.items()]
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "\n".join(judged) + "\n"
    )
    return folder


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """A folder in BEIR layout. q3's judgement is wrong: no good search answers it first."""
    return write_beir(tmp_path / "drinks", DOCUMENTS, QUERIES, GRADES)


def test_every_configuration_is_measured_and_its_ranking_written(
    qrank: Callable[..., Run], beir: Path, tmp_path: Path
) -> None:
    run = qrank("eval", beir, "--json", "--run-dir", "runs")
    found = run.json()
    assert found["schema"] == 1
    numbers = found["datasets"]["drinks"]
    assert set(numbers) == {"bm25", "vector", "hybrid", "hybrid+rerank"} == set(found["mean"])
    for config, row in numbers.items():
        assert {"ndcg@10", "mrr@10", "recall@10", "recall@100", "p@1", "ms_p50"} <= set(row)
        assert row["queries"] == 3  # q4 is judged, but not asked
        assert 0 < row["ms_p50"] <= row["ms_p95"]
        assert (row["tokens"] > 0) == (config != "bm25")
        # The same numbers from the run file, by ir-measures' own reading of both files.
        qrels = list(ir_measures.read_trec_qrels(_trec_qrels(beir, tmp_path)))
        ranked = list(ir_measures.read_trec_run(str(tmp_path / f"runs/drinks.{config}.trec")))
        judged = [q for q in qrels if q.query_id in QUERIES]
        again = ir_measures.calc_aggregate(
            [ir_measures.nDCG @ 10, ir_measures.P @ 1], judged, ranked
        )
        assert again[ir_measures.nDCG @ 10] == pytest.approx(row["ndcg@10"], abs=1e-4)
        assert again[ir_measures.P @ 1] == pytest.approx(row["p@1"], abs=1e-4)
    assert numbers["bm25"]["p@1"] == pytest.approx(2 / 3, abs=1e-4)


def _trec_qrels(beir: Path, folder: Path) -> str:
    lines = (beir / "qrels" / "test.tsv").read_text().splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    (folder / "qrels").write_text("".join(f"{q} 0 {d} {g}\n" for q, d, g in rows))
    return str(folder / "qrels")


def test_the_model_of_the_settings_is_measured(qrank: Callable[..., Run], beir: Path) -> None:
    words = ("eval", beir, "--configs", "vector", "--json")
    other = str(PARITY / "embed.gguf")
    by_setting = qrank(*words, QRANK_EMBED_MODEL=other).json()["mean"]["vector"]
    by_option = qrank(*words, "--embed-model", other).json()["mean"]["vector"]
    bundled = qrank(*words).json()["mean"]["vector"]
    assert by_setting["tokens"] == by_option["tokens"] != bundled["tokens"]
    assert by_setting["ndcg@10"] == by_option["ndcg@10"]


def test_a_query_s_own_document_is_no_answer(qrank: Callable[..., Run], tmp_path: Path) -> None:
    """As BEIR has it, in sets whose queries are documents of the corpus (ArguAna, Quora)."""
    folder = write_beir(
        tmp_path / "claims",
        {"a": ("", "green tea is steeped"), "b": ("", "green tea is boiled"), "c": ("", "tides")},
        {"a": "green tea is steeped", "c": "tides"},
        {"a": {"b": 1}, "c": {"b": 1}},
    )
    words = ("eval", folder, "--configs", "bm25", "--json", "--run-dir", "runs")
    dropped = qrank(*words).json()["mean"]["bm25"]
    run = (tmp_path / "runs" / "claims.bm25.trec").read_text()
    assert [line.split()[:4] for line in run.splitlines()] == [["a", "Q0", "b", "1"]]
    kept = qrank(*words, "--keep-identical-ids").json()["mean"]["bm25"]
    assert (dropped["p@1"], kept["p@1"]) == (0.5, 0.0)
    # c's only answer is its own document; b is none of its candidates.
    assert (dropped["relevant"], dropped["beyond"]) == (2, 1)
    shown = qrank(*words[:4]).stdout
    assert "claims bm25: 1 of 2 relevant documents are beyond the candidates" in shown


def test_several_splits_and_trec_s_files(
    qrank: Callable[..., Run], beir: Path, tmp_path: Path
) -> None:
    (beir / "qrels" / "dev.qrels").write_text("q2 0 d4 1\nq1 0 d2 0\n")  # TREC's format
    words = ("eval", beir, "--configs", "bm25", "--json")
    found = qrank(*words, "--split", "test", "--split", "dev", "--run-dir", "runs").json()
    counts = {name: runs["bm25"]["queries"] for name, runs in found["datasets"].items()}
    assert counts == {"drinks-test": 3, "drinks-dev": 1}
    assert (tmp_path / "runs" / "drinks-dev.bm25.trec").exists()
    (tmp_path / "judged.txt").write_text("1 0 d1 2\n1 0 d2 1\n2 0 d4 1\n")
    asked = {"1": "how long does green tea steep", "2": "lighthouses &amp; more"}
    forms = {
        "sgml": "\n".join(
            f"<top>\n<num> Number: {i}\n<title> Topic: {q}\n\n<desc> Description:\nx\n</top>"
            for i, q in asked.items()
        ),
        "xml": "<?xml version='1.0'?><topics>"
        + "".join(f'<topic number="{i}"><query>{q}</query></topic>' for i, q in asked.items())
        + "</topics>",
        "tsv": "".join(f"{i}\t{q}\n" for i, q in asked.items()),
        "web": "".join(f"{i}:{q}\n" for i, q in asked.items()),
    }
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
        run = qrank(*words, "--topics", name, "--qrels", "judged.txt")
        row = run.json()["datasets"]["drinks"]["bm25"]
        assert (row["queries"], row["p@1"]) == (2, 1.0), name
    (tmp_path / "bad").write_text("no topics\n")
    assert "bad:1 is not a topic" in complaint(qrank(*words, "--topics", "bad"))
    (tmp_path / "bad").write_text("<x>")
    assert "has no topics" in complaint(qrank(*words, "--topics", "bad"))
    both = qrank(*words, "--qrels", "judged.txt", "--split", "dev")
    assert "can't be combined" in complaint(both)
    assert "there is no file of judgements" in complaint(qrank(*words, "--qrels", "none"))


def test_a_run_file_is_in_the_same_order_for_who_sorts_it_by_score() -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    scores = [0.9, 0.9, 0.9, 1e-9, 0.0, 0.0, -3.5, -3.5]
    names = ["d2", "d 1", "z", "a", "m", "n", "y", "b"]
    lines = list(trec.run_lines({"q 1": dict(zip(names, scores, strict=True))}, "hybrid+rerank"))
    for line in lines:
        query, q0, _, rank, score, tag = line.split()
        assert (query, q0, tag) == ("q_1", "Q0", "hybrid+rerank")
        assert float(score) == pytest.approx(scores[int(rank) - 1], abs=1e-5)
    read = pytrec_eval.parse_run(lines)["q_1"]
    order = sorted(read, key=lambda name: (-np.float32(read[name]), name))  # trec_eval's floats
    assert order == [trec.word(name) for name in names]
    assert len({np.float32(score) for score in read.values()}) == len(names)
    # A document that trec_eval would put first among equals counts where we ranked it.
    judged = {"q_1": {"z": 1}}
    [found] = (
        pytrec_eval.RelevanceEvaluator(judged, {"recip_rank"}).evaluate({"q_1": read}).values()
    )
    assert found["recip_rank"] == pytest.approx(1 / 3)


def test_a_table_for_people(qrank: Callable[..., Run], beir: Path) -> None:
    run = qrank("eval", beir, "--configs", "bm25,hybrid:fusion_weight=0.1")
    assert run.returncode == 0
    assert re.search(r"drinks \(3\) +bm25 +0\.\d{3}", run.stdout)
    assert "hybrid:fusion_weight=0.1" in run.stdout


def test_a_queries_file_is_asked_of_the_index(qrank: Callable[..., Run], sample_db: Path) -> None:
    run = qrank(
        "eval", SAMPLE / "queries.jsonl", "--db", sample_db, "--json", "--configs", "bm25,hybrid",
        "--queries-limit", 20,
    )  # fmt: skip
    numbers = run.json()["datasets"]["queries"]
    assert numbers["hybrid"]["queries"] == 20
    assert 0.5 < numbers["bm25"]["recall@10"] <= 1
    assert min(numbers[each]["ndcg@10"] for each in ("bm25", "hybrid")) > 0.8


def test_comparing_fails_only_for_what_is_significantly_worse(
    qrank: Callable[..., Run], tmp_path: Path
) -> None:
    # Numbers of parts, which mean nothing: only words find them.
    numbers = [f"zx{17 * i % 101}k{31 * i % 97}" for i in range(1, 97)]
    texts = {f"p{i}": f"The part {number} lies on the shelf." for i, number in enumerate(numbers)}
    asked = {f"q{i}": number for i, number in enumerate(numbers)}
    grades = {f"q{i}": {f"p{i}": 1} for i in range(len(numbers))}
    parts = write_beir(tmp_path / "parts", {i: ("", t) for i, t in texts.items()}, asked, grades)
    common = ("eval", parts, "--json", "--configs", "bm25")
    worse = qrank(*common, "--compare", "bm25", "vector")
    assert worse.returncode == 1, worse
    compared = worse.json()["compare"]
    assert (compared["first"], compared["second"]) == ("bm25", "vector")
    assert compared["low"] <= compared["mean"] <= compared["high"] < 0
    assert qrank(*common, "--compare", "vector", "bm25").returncode == 0
    assert qrank(*common, "--compare", "bm25", "bm25").returncode == 0


def test_a_run_that_was_cut_off_goes_on_where_it_was(
    qrank: Callable[..., Run], sample_db: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    with model_server.running(answers=10) as server:
        cut_off_and_gone_on(server, qrank, sample_db, environment, tmp_path)


def cut_off_and_gone_on(
    server: model_server.ModelServer,
    qrank: Callable[..., Run],
    sample_db: Path,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    words = ["eval", str(SAMPLE / "queries.jsonl"), "--db", str(sample_db), "--json"]
    words += ["--configs", "hybrid+rerank:candidates=5", "--rerank-model", server.url]
    kept = Path(environment["HOME"]) / ".cache/qrank/eval/unfinished"
    with subprocess.Popen(
        [COMMAND, *words], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL
    ) as run:
        wait_until(server.holding.is_set, run)
        run.send_signal(signal.SIGINT)
        assert run.wait(120) == 130
    server.answers = None
    server.go_on.set()
    [log] = kept.glob("*.jsonl")
    first = json.loads(log.read_text().splitlines()[0])
    first[1]["milliseconds"] = 987654.0  # to be seen again
    log.write_text(json.dumps(first) + "\n" + "\n".join(log.read_text().splitlines()[1:]) + "\n")
    again = qrank(*words)
    assert again.json()["datasets"]["queries"]["hybrid+rerank:candidates=5"]["queries"] == 49
    assert again.json()["datasets"]["queries"]["hybrid+rerank:candidates=5"]["ms_p95"] < 987654
    assert list(kept.glob("*.jsonl")) == []
    assert "resuming" in again.stderr


def test_a_changed_corpus_is_indexed_again(qrank: Callable[..., Run], beir: Path) -> None:
    before = qrank("eval", beir, "--configs", "bm25", "--json").json()["mean"]["bm25"]
    corpus = beir / "corpus.jsonl"
    corpus.write_text(corpus.read_text() + '{"_id": "d6", "text": "moon and sea"}\n')
    judged = beir / "qrels" / "test.tsv"
    judged.write_text(judged.read_text() + "q3\td6\t1\n")
    after = qrank("eval", beir, "--configs", "bm25", "--json").json()["mean"]["bm25"]
    assert after["p@1"] == 1.0 > before["p@1"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "corpus.jsonl").write_text("{\n"), "corpus.jsonl:1 is not valid JSON"),
        (lambda f: (f / "corpus.jsonl").write_text('{"text": "a"}\n'), 'has no "_id"'),
        (
            lambda f: (f / "queries.jsonl").write_text("[1]\n"),
            "queries.jsonl:1 is not a JSON object",
        ),
        (lambda f: (f / "queries.jsonl").write_text(""), "no query with a relevant document"),
        (lambda f: (f / "qrels/test.tsv").write_text("a\tb\tc\nq1 d1 1\n"), "test.tsv:2"),
        (lambda f: (f / "qrels/test.tsv").rename(f / "qrels/dev.tsv"), "--split takes one of: dev"),
        (lambda f: (f / "queries.jsonl").unlink(), "queries.jsonl is missing"),
        (lambda f: (f / "queries.jsonl").write_bytes(b'{"_id": "\xff"}'), "jsonl:1 is not UTF-8"),
        (
            lambda f: (f / "queries.jsonl").write_text('{"_id": "q1", "text": " "}'),
            "queries.jsonl:1: the query is empty",
        ),
    ],
)
def test_a_broken_dataset_is_told_in_a_line(
    qrank: Callable[..., Run], beir: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(beir)
    assert said in complaint(qrank("eval", beir, "--configs", "bm25"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--configs", "bm26"], "unknown configuration 'bm26'"),
        (["--configs", "hybrid:weight=1"], "unknown setting 'weight'"),
        (["--configs", "hybrid+rerank:candidates=0"], "takes a whole number from 1 to 1000000"),
        (["--configs", "hybrid:fusion_weight=nan"], "takes a number from 0 to 1"),
        (["--configs", "hybrid+rerank:budget=-1"], "takes a number of seconds"),
        (["--configs", "hybrid:rerank_model=tiny"], "has no effect"),
        (["--plot", "nowhere/x.png"], "there is no folder"),
        (["--plot", "x.xyz"], "can't be drawn"),
        (["--configs", ","], "no configuration"),
        (["--embed-model", "nowhere"], "nowhere"),
        (["--run-dir", "/dev/null/x", "--configs", "bm25"], "can't create the folder"),
    ],
)
def test_wrong_options_are_told_in_a_line(
    qrank: Callable[..., Run], beir: Path, options: list[str], said: str
) -> None:
    assert said in complaint(qrank("eval", beir, *options))


def test_no_dataset_is_told_in_a_line(qrank: Callable[..., Run], tmp_path: Path) -> None:
    assert "there is no dataset" in complaint(qrank("eval", tmp_path / "nothing"))
    assert "is not a BEIR folder" in complaint(qrank("eval", tmp_path))


def test_plot_draws_a_picture(qrank: Callable[..., Run], beir: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert qrank("eval", beir, "--configs", "bm25,hybrid", "--plot", "q.png").returncode == 0
    assert (tmp_path / "q.png").read_bytes().startswith(b"\x89PNG")


def test_measures_by_hand() -> None:
    judged = {"a": {"x": 2, "y": 1}, "b": {"x": 1}}
    values = by_query(judged, {"a": {"n": 3.0, "y": 3.0, "x": 3.0}, "b": {}})
    got = (1 / math.log2(3) + 2 / math.log2(4)) / (2 + 1 / math.log2(3))
    assert values["ndcg@10"] == {"a": pytest.approx(got), "b": 0.0}
    assert values["mrr@10"] == {"a": 0.5, "b": 0.0}
    assert values["recall@10"] == {"a": 1.0, "b": 0.0}
    assert values["p@1"] == {"a": 0.0, "b": 0.0}


def test_a_difference_is_as_sure_as_its_queries_agree() -> None:
    sure = difference([[(0.5, 0.4)] * 30])
    assert sure.mean == pytest.approx(-0.1) == sure.low == sure.high
    assert sure.worse
    unsure = difference([[(0.5, 0.4), (0.3, 0.45)] * 15])
    assert not unsure.significant
    assert unsure.low < unsure.mean < unsure.high
    # Sign flips of four equal differences: 2 of 16 are as extreme.
    assert difference([[(0.0, 1.0)] * 4]).p == pytest.approx(2 / 16, abs=0.02)
    # Each dataset weighs the same.
    assert difference([[(0.0, 1.0)], [(0.0, 0.0)] * 9]).mean == pytest.approx(0.5)
