"""Regression tests: inputs that once caused a hang, a crash, lost text or a wrong result."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import COMMAND, PARITY, Run, complaint, extract

from qrank.ingest.chunk import chunk
from qrank.ingest.extract import documents
from qrank.ingest.walk import walk
from qrank.llama.gguf import read_header
from qrank.llama.reranker import LlamaReranker
from qrank.settings import ANYWHERE, WALK_ALL

Qrank = Callable[..., Run]


@pytest.mark.parametrize("name", ["a.txt", "a.py", "a.md"])
@pytest.mark.parametrize("data", [b"\n" * 500_000, b" " * 500_000 + b"x", b"x" * 500_000])
def test_long_runs_of_one_character_take_no_hours(name: str, data: bytes) -> None:
    chunks = chunk(extract(name, data))
    assert sum(len(piece.text) for piece in chunks) <= len(data)
    assert bool(chunks) == bool(data.strip())


def test_a_huge_heading_is_not_repeated_whole_in_every_chunk() -> None:
    text = "# " + "very long heading " * 10_000 + "\n\n" + "A sentence under it. " * 500
    pieces = chunk(extract("a.md", text.encode()))
    assert len(pieces) > 100
    assert max(len(piece.heading) for piece in pieces) <= 200


def test_a_tree_deeper_than_python_s_stack_is_walked(tmp_path: Path) -> None:
    depth = 1500
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):  # too long a path to make at once
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (tmp_path / "z.md").write_text("x", "utf-8")
    problems: list[object] = []
    try:
        assert [Path(file.path).name for file in walk([tmp_path], WALK_ALL, problems.append)] == [
            "z.md"
        ]
    finally:  # Python's own rmtree can't
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


def test_ignore_files_may_be_odd(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("x", "utf-8")
    (tmp_path / "b.md").write_text("x", "utf-8")
    (tmp_path / ".gitignore").write_text("!\n*.log\nbroken\\\n", "utf-8")
    os.mkfifo(tmp_path / ".ignore")
    assert [Path(file.path).name for file in walk([tmp_path], WALK_ALL, [].append)] == ["b.md"]


def test_a_path_with_dots_is_the_same_path(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("tea", "utf-8")
    qrank("index", "notes", "--no-embed", "--db", "i.db")
    again = qrank("index", "./notes/../notes", "--no-embed", "--db", "i.db", "--json").json()
    assert (again["files"]["unchanged"], again["chunks"]) == (1, 1)
    found = qrank("search", "tea", "--mode", "bm25", "--path", "./notes/*", "-l", "--db", "i.db")
    assert found.stdout == "notes/a.md\n"


def test_two_runs_at_once_end_well(
    tmp_path: Path, environment: dict[str, str], qrank: Qrank
) -> None:
    (tmp_path / "many").mkdir()
    for i in range(200):
        (tmp_path / "many" / f"{i}.md").write_text(f"Note {i} about subject {i}.\n", "utf-8")
    words = [COMMAND, "index", "many", "--db", "i.db"]
    runs = [
        subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    ends = [(run.communicate(timeout=120)[1], run.returncode) for run in runs]
    assert [status for _, status in ends] == [0, 0], ends
    held = qrank("status", "--db", "i.db", "--json").json()
    assert (held["files"], held["chunks"]) == (200, 200)
    assert [model["vectors"] for model in held["models"]] == [200]


def test_blank_lines_before_the_first_text_keep_their_place(qrank: Qrank) -> None:
    lines = ["", "", "one", "", "two"]
    out = qrank("embed", "--embed-model", PARITY / "embed.gguf", stdin="\n".join(lines)).lines()
    assert [item["text"] for item in out] == lines


def test_a_blank_object_is_scored_and_kept(qrank: Qrank) -> None:
    lines = '{"text": "tea", "n": 1}\n{"text": "  ", "n": 2}\n'
    out = qrank("rerank", "tea", "--rerank-model", PARITY / "lm.gguf", stdin=lines).lines()
    assert sorted(item["n"] for item in out) == [1, 2]


def test_a_long_input_without_nul_is_one_text(qrank: Qrank) -> None:
    data = "word " * 200_000 + "\0second"
    words = ("rerank", "q", "--rerank-model", PARITY / "lm.gguf", "--input", "nul", "--jsonl")
    assert sorted(len(item["text"]) for item in qrank(*words, stdin=data).lines()) == [6, 1_000_000]


def test_a_question_too_long_is_cut_but_never_the_template() -> None:
    reranker = LlamaReranker(read_header(PARITY / "lm.gguf"), ANYWHERE)
    ranker = reranker._ranker
    end = ranker._model.tokens("\n<Document>:")
    long = ranker._question("word " * 20_000, None, 500)
    assert len(long) == 500
    assert long[-len(end) :] == end
    [[score]] = reranker.scores("word " * 20_000, ["a document"])
    assert 0 <= score <= 1
    reranker.close()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["search", "x", "-n", "9" * 25], "is not from 1 to 1000000"),
        (["search", "--queries", "q", "--json"], "can't be combined with"),
        (["search", "two", "words"], "quote arguments"),
        (["search", "x", "--nonsense"], "qrank search --help"),
        (["index", ""], "a path is empty"),
        (["rerank", "x", "--threads", "0"], "whole number from 1"),
        (["rerank", "x", "--device", "nonsense"], "there is no device nonsense"),
    ],
)
def test_what_can_t_be_is_said(qrank: Qrank, words: list[str], reason: str) -> None:
    assert reason in complaint(qrank(*words, stdin="a"))


def test_no_arguments_show_the_help(qrank: Qrank) -> None:
    for words in ([], ["models"]):
        run = qrank(*words)
        assert (run.returncode, run.stdout) == (2, "")
        assert "\nCommands:\n" in run.stderr


def test_an_index_without_anything_says_so(qrank: Qrank) -> None:
    qrank("init")
    found = qrank("search", "tea")
    assert (found.returncode, found.stdout) == (1, "")
    assert "the index is empty" in found.stderr


def test_deeply_nested_json_is_an_error_of_its_line(qrank: Qrank) -> None:
    run = qrank("rerank", "q", "--input", "jsonl", stdin="[" * 200_000 + "\n")
    assert "stdin, line 1" in complaint(run)


def test_a_closed_stdout_is_no_traceback(tmp_path: Path, environment: dict[str, str]) -> None:
    run = subprocess.run(
        ["sh", "-c", f"{COMMAND} --version >&-"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    "module",
    ["qrank.cli.streams", "qrank.cli.app", "typer", "qrank.cli.options", "qrank.standalone"],
)
def test_ctrl_c_at_the_start_is_quiet(qrank: Qrank, tmp_path: Path, module: str) -> None:
    """It comes when a module is about to be imported."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "def hook(event, details):\n"
        f"    if event == 'import' and details[0] == {module!r} and not sent:\n"
        "        sent.append(1)\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "sent = []\n"
        "sys.addaudithook(hook)\n",
        "utf-8",
    )
    run = qrank("rerank", "q", PYTHONPATH=str(tmp_path))
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "qrank: interrupted\n")


def test_ctrl_c_while_a_model_loads_is_not_lost() -> None:
    """llama.cpp calls back into Python as it loads; an exception raised there would vanish."""
    script = (
        "import os, signal, sys\n"
        "from qrank.llama import binding\n"
        "try:\n"
        "    with binding.delayed_signals():\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        print('held')\n"
        "except KeyboardInterrupt:\n"
        "    print('raised')\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["held", "raised"]


def test_the_index_says_which_passages_were_longer_than_the_model_s_window(
    qrank: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "long.txt").write_text("tea leaves and hot water " * 40)  # 1,000 characters
    (tmp_path / "short.txt").write_text("tea")
    model = PARITY / "bert-embed.gguf"  # reads 256 tokens; its vocabulary is of single letters
    assert qrank("index", ".", "--db", "i.db", "--embed-model", model).returncode == 0
    [held] = qrank("status", "--json", "--db", "i.db").json()["models"]
    assert (held["vectors"], held["truncated"]) == (2, 1)
    assert "1 truncated: longer" in qrank("status", "--db", "i.db").stdout


CUT = {
    "a.csv": 'id,note\n1,"a\nb"\n2,"kestrel and the',
    "b.csv": "id,note,x\n1,a,b\n2,c",
    "a.json": '{"a": [1, "kestrel in a',
    "b.json": '{"a": {"b": "kestrel"}',
    "c.json": '{"a": "' + "kestrel " * 200_000,
    "a.jsonl": '{"a": "kestrel"}\n{"a": "mer',
    "a.html": '<p>kestrel <a href="htt',
    "b.html": "<p>kestrel <!-- a",
    "c.html": "<p>kestrel <SCRIPT>if (a < b",
}
WHOLE = {
    "a.csv": "id,note\n1,a\n2,c",
    "b.csv": 'id,note\n1,a\n2,5" pipe',
    "c.csv": 'id,note\n1,a\n2,"c"',
    "d.csv": "id,note,x\n1,a\n2,c",
    "a.json": '{"a": "kestrel"} // x',
    "b.json": '"kestrel"\n',
    "c.json": '{"a": 1}\n{"b": "kestrel"}\n',
    "a.jsonl": '{"a": "kestrel"}\n{"a": "merlin"}',
    "a.html": "<html><body><p>kestrel a < b",
    "b.html": "<p>kestrel<script>'<!--'</script><!-- a -->",
}


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_is_cut_off_is_said_to_be_so(name: str) -> None:
    data = CUT[name].encode()
    *_, last = documents(io.BytesIO(data), name)
    assert last.note == f"truncated at byte {len(data)}"


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_not_said_to_be_cut_off(name: str) -> None:
    assert [each.note for each in documents(io.BytesIO(WHOLE[name].encode()), name)] == [""]
