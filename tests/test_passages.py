"""qrank similar, get and open, and rerank after other programs."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
from support import COMMAND, ROOT, SAMPLE, Run, complaint

from qrank.cli.shell.editor import Place, arguments

Qrank = Callable[..., Run]
FILES = ROOT / "tests" / "files"
STARTER = SAMPLE / "howto" / "sourdough-starter.md"
LOAF = SAMPLE / "howto" / "country-loaf.md"


def test_similar_has_nothing_to_compare_with(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text("Green tea.\n", "utf-8")
    qrank("index", "one.md", "--no-embed", "--db", "i.db")
    run = qrank("similar", "one.md", "--mode", "bm25", "--db", "i.db")
    assert (run.returncode, run.stdout) == (1, "")
    assert "no other chunk to compare" in run.stderr


def test_similar_is_by_vectors_and_leaves_the_file_out(qrank: Qrank, sample_db: Path) -> None:
    answer = qrank("similar", LOAF, "--db", sample_db, "--json").json()
    assert (answer["mode"], answer["models"]) == ("vector", {"embed": "tiny", "rerank": None})
    paths = [hit["path"] for hit in answer["results"]]
    assert len(paths) == 10
    assert paths[0] == str(STARTER)
    assert str(LOAF) not in paths
    scores = [hit["score"] for hit in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert -1 <= scores[-1] <= scores[0] <= 1
    one = qrank("similar", f"{STARTER}:36", "--db", sample_db, "--jsonl").lines()
    assert str(STARTER) in {hit["path"] for hit in one}  # its other passages
    assert not any(hit["path"] == str(STARTER) and hit["start_line"] == 34 for hit in one)
    assert qrank("similar", LOAF, "--db", sample_db, "-l").stdout.splitlines()[0] == str(STARTER)
    assert "sourdough-starter.md:" in qrank("similar", LOAF, "--db", sample_db).stdout


def test_similar_by_words(qrank: Qrank, sample_db: Path, tmp_path: Path) -> None:
    words = ("similar", LOAF, "--jsonl", "-n", "3")
    by_words = qrank(*words, "--db", sample_db, "--mode", "bm25").lines()
    assert str(STARTER) in {hit["path"] for hit in by_words}
    assert {hit["score_kind"] for hit in by_words} == {"bm25"}
    for name, text in (("a.md", "green tea"), ("b.md", "black tea"), ("c.md", "an owl")):
        (tmp_path / name).write_text(text, "utf-8")
    qrank("index", tmp_path, "--no-embed", "--db", "i.db")
    found = qrank("similar", "a.md", "--db", "i.db", "-l")
    assert found.stdout == "b.md\n"
    for place in ("nope.md", "nope.md:3", ""):
        assert "is not in the index" in complaint(qrank("similar", place, "--db", "i.db"))
    assert "needs a query" in complaint(qrank("similar", "a.md", "--mode", "hybrid"))


def test_get_gives_what_the_result_had(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", "tides", "--mode", "bm25", "--db", sample_db, "-n", "2")
    hits = qrank(*words, "--jsonl").lines()
    ids = [hit["id"] for hit in hits]
    got = qrank("get", *ids, "--jsonl", "--db", sample_db).lines()
    for hit, passage in zip(hits, got, strict=True):
        assert passage == {key: hit[key] for key in passage}
    assert qrank("get", *ids, "--json", "--db", sample_db).json()["chunks"] == got
    assert qrank("get", ids[0], "--db", sample_db).stdout == hits[0]["text"] + "\n"
    piped = qrank("get", "-", "--db", sample_db, "--jsonl", stdin="\n".join(ids) + "\n")
    assert piped.lines() == got
    for wrong in ("999999999", "-1", "x", "9" * 30):
        run = qrank("get", "--db", sample_db, "--", wrong)
        assert "there is no chunk" in complaint(run)


@pytest.mark.skipif(os.name == "nt", reason="there is no pty")
def test_open_starts_the_editor_at_the_line(
    qrank: Qrank, sample_db: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    def shown(place: str | list[str], status: int = 0, **editor: str) -> list[str]:
        words = place if isinstance(place, list) else [place, "--db", str(sample_db)]
        child = pexpect.spawn(
            str(COMMAND),
            ["open", *words],
            cwd=str(tmp_path),
            env=environment | {"VISUAL": ""} | editor,
            dimensions=(40, 999),
            encoding="utf-8",
            timeout=120,
        )
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == status, child.before
        return str(child.before).splitlines()

    [hit] = qrank(
        "search", "nail varnish", "--mode", "bm25", "-n", "1", "--jsonl", "--db", sample_db
    ).lines()
    editor = {"EDITOR": "printf '%s\\n'"}
    assert shown(hit["id"], **editor) == [f"+{hit['start_line']}", hit["path"]]
    opened = shown(f"{LOAF}:7:2", VISUAL="echo {path} at {line},{column}; rm -rf /")
    assert opened == [f"{LOAF} at 7,2; rm -rf /"]  # no shell reads it
    assert shown(str(LOAF), **editor) == ["+1", str(LOAF)]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("notes/birds.md", "# Birds\n\n\nA kestrel.\n\n" + "More.\n\n" * 900)
        archive.write(FILES / "water.docx", "water.docx")
    qrank("index", "a.zip", "--archives", "--no-embed", "--db", "i.db")
    within = ["a.zip!/notes/birds.md:4", "--db", "i.db"]
    command, copied = shown(within, EDITOR="printf '%s\n'")
    assert (command, Path(copied).name) == ("+4", "birds.md")
    lines = Path(copied).read_text("utf-8").split("\n")
    assert (lines[3], len(lines)) == ("A kestrel.", 5 + 2 * 900)
    valve = shown(["a.zip!/water.docx", "--db", "i.db"], EDITOR="cat {path}")
    assert "stuck brass valve" in " ".join(valve)
    assert shown(str(LOAF), 1, EDITOR="false") == []
    assert "can't start" in shown(str(LOAF), 2, VISUAL="/no/such/editor")[0]
    assert "can't parse" in shown(str(LOAF), 2, VISUAL="vi 'x")[0]
    assert "there is no file" in complaint(qrank("open", "nope.md:3", **editor))


def test_open_without_a_terminal_prints_the_place(
    qrank: Qrank, sample_db: Path, tmp_path: Path
) -> None:
    words = ("search", "nail varnish", "--mode", "bm25", "-n", "1", "--db", sample_db)
    [hit] = qrank(*words, "--jsonl").lines()
    opened = qrank("open", hit["id"], "--db", sample_db, EDITOR="false")
    assert (opened.returncode, opened.stdout) == (0, f"{hit['path']}:{hit['start_line']}\n")
    (tmp_path / "a:1.md").write_text("tea\n", "utf-8")
    for place, printed in (
        (f"{LOAF}:7:2", f"{LOAF}:7:2"),
        (f"{LOAF}:7:", f"{LOAF}:7"),  # as compilers and grep end it
        ("a:1.md", "a:1.md:1"),
        (tmp_path / "a:1.md", "a:1.md:1"),
    ):
        assert qrank("open", place, EDITOR="false").stdout == f"{printed}\n"


@pytest.mark.parametrize("name", ["a.md", "crlf.md", "a.tex"])
def test_a_result_s_own_line_is_the_one_with_the_words(
    qrank: Qrank, tmp_path: Path, name: str
) -> None:
    lines = [f"Plain line {i}.\n" for i in range(1, 30)]
    lines[19] = "Grüne Tür: the \\emph{zebra} crossing stands here.\n"
    lines[9] = "A zebra.\n"
    end = "\r\n" if "crlf" in name else "\n"
    (tmp_path / name).write_bytes("".join(lines).replace("\n", end).encode())
    qrank("index", name, "--no-embed", "--db", "i.db")
    words = ("search", "zebra crossing", "--mode", "bm25", "--db", "i.db")
    own = qrank(*words, "--format", "{path}:{line}:{column} {start_line}").stdout
    column = lines[19].encode().index(b"zebra") + 1
    assert own == f"{name}:20:{column} 1\n"
    place = own.split()[0]
    assert qrank("open", place).stdout == f"{place}\n"
    link = ("--color", "always", "--hyperlink-format", "vscode")
    assert f"vscode://file{tmp_path}/{name}:20:{column}" in qrank(*words, *link).stdout
    assert (
        qrank("similar", name, "--mode", "bm25", "--db", "i.db", "--format", "{line}").stdout == ""
    )


@pytest.mark.parametrize(
    ("editor", "expected"),
    [
        ("vim", ["vim", "+7", "/a b.md"]),
        ("emacsclient -nw", ["emacsclient", "-nw", "+7", "/a b.md"]),
        ("/usr/bin/code --wait", ["/usr/bin/code", "--wait", "--goto", "/a b.md:7"]),
        ("hx", ["hx", "/a b.md:7"]),
        ("pycharm", ["pycharm", "--line", "7", "/a b.md"]),
        ("ed -l{line} {path}", ["ed", "-l7", "/a b.md"]),
    ],
)
def test_each_editor_is_told_the_line_its_way(editor: str, expected: list[str]) -> None:
    assert arguments(editor, Place(Path("/a b.md"), 7)) == expected
    if expected[-1].endswith(":7"):
        assert arguments(editor, Place(Path("/a b.md"), 7, 3))[-1] == "/a b.md:7:3"


def test_rerank_reads_what_ripgrep_prints(qrank: Qrank) -> None:
    def of(kind: str, **data: object) -> str:
        return json.dumps({"type": kind, "data": data})

    stream = "\n".join(
        [
            of("begin", path={"text": "a"}),
            of("match", path={"text": "a"}, lines={"text": "an owl at night\n"}, line_number=3),
            of("match", path={"text": "b"}, lines={"text": "high tide at noon\n"}, line_number=9),
            of("match", path={"bytes": "/w=="}, lines={"bytes": "/w=="}, line_number=1),
            of("end", path={"text": "a"}),
            of("summary", elapsed_total={}),
        ]
    )
    out = qrank("rerank", "when is the water high", stdin=stream).lines()
    assert [(hit["text"], hit["data"]["line_number"]) for hit in out] == [
        ("high tide at noon", 9),
        ("an owl at night", 3),
    ]


@pytest.mark.skipif(not shutil.which("rg"), reason="ripgrep is not installed")
def test_rerank_after_ripgrep_itself(environment: dict[str, str]) -> None:
    line = f"rg --json tide '{SAMPLE}' | '{COMMAND}' rerank 'how high is the water' -n 2"
    run = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], env=environment, capture_output=True, check=True
    )
    hits = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(hits) == 2
    assert "tide" in hits[0]["text"].lower()
    assert hits[0]["data"]["path"]["text"].startswith(str(SAMPLE))


def test_rerank_reads_files_that_are_named(qrank: Qrank, tmp_path: Path) -> None:
    texts = {
        "a one.txt": "an owl at night",
        "b\n.txt": "high tide at noon",
        "c": "\0\1\2\3\4\5\6\7\0\0\0\x0e",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, "utf-8")
    names = "\0".join([*texts, "missing"])
    run = qrank("rerank", "when is the water high", "--files", stdin=names)
    assert [part.partition("\t")[2] for part in run.stdout.split("\0")] == [
        "b\n.txt",
        "a one.txt",
        "",
    ]
    assert run.stderr.count("skipped") == 2
    lines = qrank("rerank", "the water", "--files", "--jsonl", stdin=names).lines()
    assert {hit["path"]: hit["text"] for hit in lines} == {k: texts[k] for k in list(texts)[:2]}


def test_rerank_reads_files_of_every_format(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "wide.txt").write_text("tides and ships\n", "utf-16")
    (tmp_path / "packed.txt.gz").write_bytes(gzip.compress(b"a packed lunch\n"))
    names = [*(str(FILES / name) for name in ("water.pdf", "water.docx", "scan.pdf")), "wide.txt"]
    names += ["packed.txt.gz", str(tmp_path)]
    run = qrank("rerank", "garden pump", "--files", "--jsonl", stdin="\n".join(names))
    texts = {Path(hit["path"]).name: hit["text"] for hit in run.lines()}
    assert "garden pump" in texts["water.docx"]
    assert "garden pump" in texts["water.pdf"]
    assert (texts["wide.txt"], texts["packed.txt.gz"]) == ("tides and ships\n", "a packed lunch")
    assert f"skipped {FILES / 'scan.pdf'}: its pages hold no text" in run.stderr
    assert f"skipped {tmp_path}: not a regular file" in run.stderr
