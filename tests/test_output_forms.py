"""The forms in which search prints its results, through the installed command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import SAMPLE, Run, complaint

from qrank import Index, json_form
from qrank.cli.output.template import FIELDS, Template
from qrank.errors import InputError
from qrank.results import IndexedChunk, Result, Scores
from qrank.searching.pack import estimate, pack

Qrank = Callable[..., Run]
BM25 = ("--mode", "bm25")


def result(text: str = "tea", id: str = "1", start_line: int = 1) -> Result:
    """A result like those of a search."""
    return Result(
        id=id,
        path="/a.md",
        collection="c",
        title="",
        heading="",
        start_line=start_line,
        end_line=start_line,
        start_byte=0,
        end_byte=len(text),
        page=None,
        text=text,
        fields={},
        stale=False,
        rank=1,
        score=0.5,
        score_kind="bm25",
        scores=Scores(),
    )


def test_json_is_as_its_schema_says(qrank: Qrank, sample_db: Path) -> None:
    schema = json.loads(qrank("schema", "search").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    whole_answer = jsonschema.Draft202012Validator(schema)
    one_result = jsonschema.Draft202012Validator(
        {"$ref": "#/$defs/result", "$defs": schema["$defs"]}
    )
    words = ("search", "sourdough starter", "--db", sample_db)
    for more in ([], BM25, ["--mode", "vector"], ["--explain"], ["-e", "x"], ["--budget", "0"]):
        asked = (*words[:1], *words[2:], "-e", words[1]) if "-e" in more else words
        answer = qrank(*asked, *more, "--json").json()
        extra = {"shift", "named"} if "--explain" in more else set()
        whole_answer.validate(answer)
        # Nothing is printed that the schema does not have.
        unexplained = set() if "--explain" in more else {"synonyms"}
        assert set(answer) == set(schema["properties"]) - unexplained
        for hit in answer["results"]:
            assert set(hit) == set(schema["$defs"]["result"]["properties"]) - {"index"}
            known = set(schema["$defs"]["scores"]["properties"])
            assert set(hit["scores"]) == known - ({"shift", "named"} - extra), more
    whole_answer.validate(qrank("search", "zzz", *BM25, "--db", sample_db, "--json").json())
    place = SAMPLE / "howto" / "country-loaf.md"
    whole_answer.validate(qrank("similar", place, "--db", sample_db, "--json").json())
    lines = qrank(*words, "--jsonl").lines()
    assert lines
    for line in lines:
        one_result.validate(line)
    with pytest.raises(jsonschema.ValidationError):
        one_result.validate(lines[0] | {"rank": 0})


def test_json_is_short_unless_people_read_it(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", "nail varnish", "--db", sample_db, "-n", "2")
    whole = qrank(*words, "--json").stdout
    assert whole.count("\n") == 1
    assert qrank("status", "--db", sample_db, "--json").stdout.count("\n") == 1
    explained = qrank(*words, "--json", "--explain").json()
    for hit, long in zip(json.loads(whole)["results"], explained["results"], strict=True):
        assert set(hit["scores"]) == {"bm25", "vector", "fused", "rerank"}  # of the contract
        assert {"shift", "named"} <= set(long["scores"])
        assert hit["score"] == float(f"{long['score']:.4g}")
        assert len(str(long["scores"]["vector"]["score"])) > 8
    [first, _] = qrank(*words, "--fields", "scores").lines()
    assert {"shift", "named"} <= set(first["scores"])


def test_an_answer_is_its_results_and_gives_what_is_printed(qrank: Qrank, sample_db: Path) -> None:
    printed = qrank("search", "nail varnish", *BM25, "--db", sample_db, "--json").json()
    with Index(sample_db) as index:
        answer = index.search("nail varnish", mode="bm25")
        assert list(answer) == answer.results
        assert len(answer) == len(answer.results) > 0
        assert answer.to_dict() | {"timings_ms": None} == printed | {"timings_ms": None}
        assert [result.to_dict() for result in answer] == printed["results"]
        chunk = index.get(answer.results[0].id)
        [shown] = qrank("get", chunk.id, "--db", sample_db, "--jsonl").lines()
        assert chunk.to_dict() == shown
        assert isinstance(answer.results[0], IndexedChunk)
        own = set(Result.__dataclass_fields__) - {"number", "date_ns"}
        assert set(json_form.RESULT_FIELDS) == own | {"hash"}
        assert not index.search("zzzz", mode="bm25")


def test_one_form_at_a_time(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", "tides", "--db", sample_db)
    for pair in (
        ("--json", "--jsonl"),
        ("--json", "-l"),
        ("--count", "--format", "{path}"),
        ("--json", "-0"),
        ("-l", "--fields", "path"),
        ("--max-tokens", "9", "--count"),
        ("--json", "--full"),
        ("--full", "-C", "1"),
        ("-l", "--explain"),
    ):
        assert "be combined" in complaint(qrank(*words, *pair)), pair
    assert "be combined" in complaint(qrank("rerank", "x", "--json", "--jsonl", stdin="x"))


def test_fields_and_formats(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", "tides", *BM25, "-n", "3", "--db", sample_db)
    full = qrank(*words, "--jsonl").lines()
    some = qrank(*words, "--fields", "path, score").lines()
    assert some == [{"path": hit["path"], "score": hit["score"]} for hit in full]
    assert qrank(*words, "--fields", "id", "--json").json()["results"] == [
        {"id": hit["id"]} for hit in full
    ]
    assert "no field 'nope'" in complaint(qrank(*words, "--fields", "nope"))
    assert "--fields is empty" in complaint(qrank(*words, "--fields", ","))
    lines = qrank(*words, "--format", r"{path}:{start_line}\t{score}").stdout.splitlines()
    assert lines == [f"{h['path']}:{h['start_line']}\t{h['score']:#.4g}" for h in full]
    ended = qrank(*words, "--format", "{{{rank:02}}}", "-0").stdout
    assert ended == "{01}\0{02}\0{03}\0"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{path.__class__}", "no field {path.__class__}"),
        ("{path[0]}", "no field {path[0]}"),
        ("{fields[a][b]}", "no field {fields[a][b]}"),
        ("{fields[]}", "no field {fields[]}"),
        ("{fields.tags}", "no field {fields.tags}"),
        ("{path!r}", "no field {path!r}"),
        ("{}", "no field {}"),
        ("{nope}", "no field {nope}"),
        ("{score:{rank}}", "can't format {score:{rank}}"),
        ("{score:99999999}", "can't format"),
        ("{path:.2f}", "can't format {path:.2f}"),
        ("{path", "write {{ for a brace"),
        (r"\x", "unknown escape"),
        ("{}}", "--format"),
    ],
)
def test_a_format_is_safe(text: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        Template(text)(result())
    assert reason in str(caught.value)


@given(st.text(max_size=40))
def test_any_format_gives_a_line_or_an_error(text: str) -> None:
    try:
        Template(text)(result())
    except InputError:
        return


@given(st.text(alphabet=st.characters(exclude_characters="\\{}"), max_size=40))
def test_what_is_no_field_stays_as_it_is(text: str) -> None:
    fields = "".join(f"{{{name}}}" for name in FIELDS)
    assert Template(text + fields)(result()).startswith(text)


def test_counts_and_silence(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", "the water of the garden", *BM25, "--db", sample_db)
    every = len(qrank(*words, "--jsonl", "-n", "1000").lines())
    assert every > 10
    assert qrank(*words, "--count").stdout == f"{every}\n"
    assert qrank(*words, "--count", "-n", "3").stdout == "3\n"
    none = qrank("search", "zzz", *BM25, "--count", "--db", sample_db)
    assert (none.returncode, none.stdout) == (1, "0\n")
    for flag in ("-q", "--quiet"):
        quiet = qrank(*words, flag)
        assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
        quiet = qrank("search", "zzz", *BM25, flag, "--db", sample_db)
        assert (quiet.returncode, quiet.stdout, quiet.stderr) == (1, "", "")
        assert qrank(*words, flag, "--jsonl").lines()
    assert complaint(qrank("search", "x", "-q", "--db", "none.db"))


def test_a_file_s_share_can_be_limited(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", "sourdough starter flour", *BM25, "--db", sample_db, "-n", "5", "--jsonl")
    paths = [hit["path"] for hit in qrank(*words).lines()]
    assert len(set(paths)) < len(paths) == 5
    capped = qrank(*words, "--per-file", "1").lines()
    assert len({hit["path"] for hit in capped}) == len(capped) > len(set(paths))
    assert [hit["rank"] for hit in capped] == list(range(1, len(capped) + 1))


def test_a_file_in_two_collections_is_one_result(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("green tea\n", "utf-8")
    for name in ("one", "two"):
        qrank("index", "a.md", "--no-embed", "--db", "i.db", "--collection", name)
    words = ("search", "tea", *BM25, "--db", "i.db", "--jsonl")
    assert len(qrank(*words).lines()) == 1
    for name in ("one", "two"):
        assert [h["collection"] for h in qrank(*words, "--collection", name).lines()] == [name]


def test_several_queries_are_fused(qrank: Qrank, sample_db: Path) -> None:
    base = ("search", *BM25, "--db", sample_db)
    first, second = "sourdough starter", "postgres failover"
    both = qrank(*base, "-e", first, "-e", second, "--json").json()
    assert both["query"] == f"{first}\n{second}"
    scores: dict[str, float] = {}
    for query in (first, second):
        for hit in qrank(*base, query, "-n", "1000", "--jsonl").lines():
            scores[hit["id"]] = scores.get(hit["id"], 0.0) + hit["score"] / 2
    best = sorted(scores.values(), reverse=True)[:10]
    assert [hit["score"] for hit in both["results"]] == pytest.approx(best, rel=1e-3)
    names = {Path(hit["path"]).name for hit in both["results"]}
    assert {"sourdough-starter.md", "postgres-failover.md"} <= names
    assert qrank(*base, "-e", first, "-l").stdout == qrank(*base, first, "-l").stdout
    assert "not both" in complaint(qrank(*base, "-e", first, second))
    # Reranked: a passage has its best relevance to either.
    words = ("search", "--db", sample_db, "--candidates", "5", "--jsonl", "-n", "3")
    one = {h["id"]: h["scores"]["rerank"]["score"] for h in qrank(*words, first).lines()}
    two = {h["id"]: h["scores"]["rerank"]["score"] for h in qrank(*words, second).lines()}
    hits = qrank(*words, "-e", first, "-e", second).lines()
    assert {(h["score_kind"], h["calibrated"]) for h in hits} == {("rerank", False)}
    for hit in hits:
        expected = [s for s in (one.get(hit["id"]), two.get(hit["id"])) if s is not None]
        assert not expected or hit["score"] >= max(expected) - 1e-4


def test_context_lines_are_the_file_s(qrank: Qrank, tmp_path: Path) -> None:
    lines = [f"line {i}" for i in range(1, 10)]
    lines[4] = "the zebra line"
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n", "utf-8")
    qrank("index", "a.txt", "--no-embed", "--db", "i.db")
    words = ("search", "zebra", *BM25, "--db", "i.db", "-C", "1")
    assert qrank(*words).stdout.splitlines()[1:4] == [
        "        4- line 4",
        "        5: the zebra line",
        "        6- line 6",
    ]
    (tmp_path / "a.txt").write_text("all is new\n", "utf-8")  # then from what the index holds
    assert "5: the zebra line" in qrank(*words).stdout
    assert "(changed since indexed)" in qrank(*words).stdout
    (tmp_path / "a.txt").unlink()
    assert "(deleted since indexed)" in qrank(*words).stdout


def test_code_keeps_its_lines(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", "parse csv records header", *BM25, "-n", "1", "--db", sample_db)
    shown = qrank(*words, "--path", "*.js").stdout.splitlines()
    assert "    function parseRecords(text, options) {" in shown
    full = qrank(*words, "--path", "*.js", "--full").stdout
    hit = qrank(*words, "--path", "*.js", "--jsonl").lines()[0]
    for line in hit["text"].splitlines():
        assert f"    {line}".rstrip() in full


@pytest.mark.parametrize("mode", ["hybrid", "bm25"])
def test_explain_adds_up(qrank: Qrank, sample_db: Path, mode: str) -> None:
    words = ("search", "keep photos safe", "--db", sample_db, "--explain", "--mode", mode)
    for hit in qrank(*words, "--jsonl").lines():
        bm25 = hit["scores"]["bm25"]
        if bm25:
            assert sum(bm25["terms"].values()) == pytest.approx(bm25["score"])
    shown = qrank(*words, "-n", "2").stdout
    assert "    bm25    #" in shown
    assert "terms   keep photo safe\n" in shown
    assert "\nms      bm25 " in shown
    assert ("P(yes)" in shown) == (mode == "hybrid")


@pytest.mark.parametrize(
    "asked",
    [
        ("-e", "keep photos safe", "-e", "photos in a safe place -cloud"),
        ("-e", "keep photos", "-e", "keep photos"),
        ('"sourdough starter" rye',),
        ("sourdough starter title:sourdough",),
    ],
)
def test_explain_adds_up_for_several_queries_and_phrases(
    qrank: Qrank, sample_db: Path, asked: tuple[str, ...]
) -> None:
    words = ("search", *asked, "--db", sample_db, "--explain", "--no-rerank", "--jsonl")
    scored = [b for hit in qrank(*words).lines() if (b := hit["scores"]["bm25"])]
    assert len(scored) > 1
    for bm25 in scored:
        assert sum(bm25["terms"].values()) == pytest.approx(bm25["score"])
    assert any('"' in term for term in scored[0]["terms"]) == ("-e" not in asked)


def test_passages_for_a_model_fit_and_are_what_the_files_say(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", "keeping a sourdough starter", *BM25, "--db", sample_db, "--max-tokens")
    packed = qrank(*words, "900", "--json").json()
    assert packed["tokens"] == sum(p["tokens"] for p in packed["chunks"]) <= 900
    assert len(packed["chunks"]) < sum(len(p["ids"]) for p in packed["chunks"])  # merged
    places = [(p["path"], p["start_byte"]) for p in packed["chunks"]]
    assert len(set(places)) == len(places)
    for passage in packed["chunks"]:
        data = Path(passage["path"]).read_bytes()
        said = data[passage["start_byte"] : passage["end_byte"]].decode()
        assert said.split() == passage["text"].split()
        assert passage["text"].count("\n") == passage["end_line"] - passage["start_line"]
    text = qrank(*words, "900").stdout
    assert f"[{places[0][0]}:" in text
    assert estimate(text) <= 900
    tiny = qrank(*words, "80", "--json").json()
    assert 0 < tiny["tokens"] <= 80
    for form in ([], ["--json"], ["--jsonl"]):
        none = qrank(*words, "5", *form)
        assert none.returncode == 1
        assert "no chunk fits into 5 tokens (--max-tokens); the best" in none.stderr
    assert qrank(*words, "900", "--jsonl").lines() == packed["chunks"]


@given(st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=8), st.integers(1, 200))
def test_what_is_packed_never_exceeds_its_size(texts: list[str], most: int) -> None:
    results = [result(text, id=str(i), start_line=i + 1) for i, text in enumerate(texts)]
    packed = pack("q", results, most)
    assert packed.tokens == sum(p.tokens for p in packed.chunks) <= most


def test_hints_say_why(qrank: Qrank, sample_db: Path, tmp_path: Path) -> None:
    words = ("search", "--db", sample_db)
    for more, reason in (
        (
            ["zzz", *BM25],
            "nothing found with any of: zzz (to find by meaning, too, leave out --mode bm25)",
        ),
        (["tides", "--collection", "nope"], "there is no collection nope; use one of: default"),
        (["tides", "--path", "*.nope"], "no indexed file matches --path *.nope"),
        (["tides", "--type", "nope"], "no indexed file is of type nope; --type takes archive, "),
        (["tides", "--since", "2090-01-01"], "no indexed file is dated 2090-01-01 or later"),
        (["tides", "--until", "1980-01-01"], "no indexed file is dated before 1980-01-02"),
        (
            ["tides", "--type", "txt", "--path", "*world*"],
            "no indexed file matches --path and --type",
        ),
        (['"car tides"'], 'nothing matches all of: "car tides"'),
        (["title:zebra tide"], "nothing matches all of: title:zebra"),
        (["zzz -foo", *BM25], "nothing found with any of: zzz"),
        (["Zzzing of the ZZZers", *BM25], "nothing found with any of: Zzzing, ZZZers"),
        (["tides", "--min-score", "2"], "(--min-score)"),
        (["the", *BM25], "very common"),
        (["?!", *BM25], "contains no words"),
    ):
        assert reason in qrank(*words, *more).stderr, more
    answer = qrank(*words, "zzz", *BM25, "--json").json()
    assert answer["notices"] == [
        "nothing found with any of: zzz (to find by meaning, too, leave out --mode bm25)"
    ]
    assert qrank(*words, "tides", *BM25, "--json").json()["notices"] == []
    (tmp_path / "a.md").write_text("green tea\n", "utf-8")
    qrank("index", "a.md", "--no-embed", "--db", "i.db")
    assert "no vectors" in qrank("search", "tea", "--no-rerank", "--db", "i.db").stderr
    assert "to find by meaning, too" in qrank("search", "zzz", *BM25, "--db", "i.db").stderr


def test_a_query_that_asks_for_nothing_costs_the_others_nothing(
    qrank: Qrank, sample_db: Path, tmp_path: Path
) -> None:
    (tmp_path / "q.txt").write_text('tides\n-x\n\n""\nmoon\n', "utf-8")
    for more in ([], ["--resume", "out.jsonl"]):
        run = qrank("search", "--queries", "q.txt", *more, *BM25, "--db", sample_db)
        assert run.returncode == 0
        assert run.stderr.splitlines() == [
            "qrank: q.txt, line 2: skipped: the query only excludes words",
            "qrank: q.txt, line 3: skipped: the query is empty",
            "qrank: q.txt, line 4: skipped: the query is empty",
        ]
        out = run.stdout or (tmp_path / "out.jsonl").read_text("utf-8")
        assert [json.loads(line)["query"] for line in out.splitlines()] == ["tides", "moon"]


def test_types_are_those_of_qrank_index(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", "the", *BM25, "-n", "1000", "--db", sample_db, "-l", "--type")
    markdown = qrank(*words, "markdown").stdout.splitlines()
    assert markdown
    assert {Path(path).suffix for path in markdown} == {".md"}
    assert qrank(*words, ".md").stdout.splitlines() == markdown


def test_a_batch_can_be_resumed(qrank: Qrank, sample_db: Path, tmp_path: Path) -> None:
    ids = [{"id": i, "query": q} for i, q in enumerate(["tides", "zzz", "moon", "tides"])]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, ids)), "utf-8")
    words = ("search", "--queries", "q.jsonl", *BM25, "--db", sample_db, "--fields", "path")
    everything = qrank(*words).stdout
    run = qrank(*words, "--resume", "out.jsonl")
    out = tmp_path / "out.jsonl"
    assert (run.returncode, run.stdout) == (0, "")

    def untimed(text: str) -> list[object]:
        return [json.loads(line) | {"timings_ms": None} for line in text.splitlines()]

    assert untimed(out.read_text("utf-8")) == untimed(everything)
    done = out.read_bytes()
    out.write_bytes(done[: done.index(b"\n") + 20])  # killed while it wrote the second answer
    qrank(*words, "--resume", "out.jsonl")
    assert untimed(out.read_text("utf-8")) == untimed(everything)
    first = done[: done.index(b"\n") + 1]
    assert out.read_bytes().startswith(first)  # what was there is not asked again
    before = out.read_bytes()
    qrank(*words, "--resume", "out.jsonl")
    assert out.read_bytes() == before
    out.write_text("no JSON\n", "utf-8")
    assert "out.jsonl, line 1" in complaint(qrank(*words, "--resume", "out.jsonl"))
    assert out.read_text("utf-8") == "no JSON\n"
    assert "needs --queries" in complaint(qrank("search", "x", "--resume", "out.jsonl"))
