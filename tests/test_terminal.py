"""The command on a real terminal: width, colour, links, progress, signals, control characters."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import model_server
import pexpect
import pytest
from rich.cells import cell_len
from support import COMMAND, SAMPLE, Run, wait_until

from qrank import Index

Qrank = Callable[..., Run]
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours, and the signs of life of a slow search
LINK = re.compile(r"\x1b\]8;[^;]*;([^\x1b]*)\x1b\\")
BM25 = ("--mode", "bm25")


@pytest.fixture
def terminal(tmp_path: Path, environment: dict[str, str]) -> Callable[..., str]:
    """Run the command on a terminal of that width; gives what it showed."""

    def run(*words: object, columns: int = 80, **variables: str) -> str:
        child = pexpect.spawn(
            str(COMMAND),
            list(map(str, words)),
            cwd=str(tmp_path),
            env=environment | {"TERM": "xterm-256color", "QRANK_ANSWER_SECONDS": "0"} | variables,
            dimensions=(40, columns),
            encoding="utf-8",
            timeout=120,
        )
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus in (0, 1), child.before
        return str(child.before).replace("\r\n", "\n")

    return run


def visible(shown: str) -> list[str]:
    return [ANSI.sub("", LINK.sub("", line)) for line in shown.splitlines()]


@pytest.fixture
def odd_db(qrank: Qrank, tmp_path: Path) -> Path:
    """Files in several scripts, with a long name and heading, and with control characters."""
    files = {
        "番茄.md": "# 番茄与阳台 🍅\n\n"
        + "阳台上的番茄每天需要六个小时的阳光，盆要大，土要松。" * 6,
        "نخلة.md": "# نخلة\n\n" + "النخلة شجرة مباركة تعطي التمر في الصيف وتحتاج إلى الماء. " * 5,
        "family.md": "# Family\n\n" + "The 👩‍👩‍👧‍👦 family emoji is a zebra of emoji 🎉. " * 8,
        "a long name " * 6 + ".md": "# " + "heading words " * 12 + "\n\nquokka sentence.\n",
        "evil\x1b[31m\nname.md": "# Evil \x1b[31m\n\nwombat \x1b[2J\x1b]0;own\x07 \x9b31m \u202e\n",
        "code.py": "def wallaby(a):\n\treturn [\n        a,\n    ]  # " + "x" * 200 + "\n",
    }
    folder = tmp_path / "odd"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    assert qrank("index", "odd", "--no-embed", "--db", "odd.db").returncode == 0
    return tmp_path / "odd.db"


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("more", [[], ["--full"], ["-C", "2"], ["--explain"]])
def test_nothing_is_wider_than_the_terminal(
    terminal: Callable[..., str], odd_db: Path, columns: int, more: list[str]
) -> None:
    query = "阳光 التمر zebra quokka wombat wallaby"
    shown = terminal("search", query, *BM25, "--db", odd_db, *more, columns=columns)
    lines = visible(shown)
    assert len(lines) > 12
    assert max(map(cell_len, lines)) <= columns
    for line in lines:  # what does not fit hangs: only a result's first line is at the margin
        assert not line.strip() or line[0] == " " or line[:7].strip() in EXPLAINED, line
    for text in ("番茄与阳台", "النخلة", "quokka", "wallaby"):
        assert text in shown
    assert not set(ANSI.sub("", shown)) & set("\x1b\x07\x9b\u202e")


EXPLAINED = {"mode", "terms", "found", "ms"}


def test_odd_names_and_queries_are_shown_inert(terminal: Callable[..., str], odd_db: Path) -> None:
    words = ("search", "wombat", *BM25, "--db", odd_db)
    for form in ([], ["-l"], ["--format", "{path} {text}"], ["--json"], ["--max-tokens", "500"]):
        shown = terminal(*words, *form, "--color", "never", NO_COLOR="")
        assert "wombat" in shown or form == ["-l"]
        assert not set(shown) & set("\x1b\x07\x9b\u202e"), form
    missing = terminal("search", "zzz", *BM25, "--db", odd_db, "--path", "\x1b[31m*", NO_COLOR="1")
    assert "␛[31m" in missing
    assert "\x1b[31m" not in missing


def test_marks_without_colour_and_without_anything(
    terminal: Callable[..., str], sample_db: Path
) -> None:
    words = ("search", "nail varnish", *BM25, "-n", "1", "--db", sample_db)
    colours = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7])(?:;\d+)*m")
    assert colours.search(terminal(*words))
    uncoloured = terminal(*words, NO_COLOR="1")
    assert not colours.search(uncoloured)
    assert "\x1b[1mnail" in uncoloured or "\x1b[1m" in uncoloured
    for shown in (terminal(*words, TERM="dumb"), terminal(*words, "--color", "never")):
        assert "\x1b" not in shown


FAR_OFF = "probably not relevant"


def test_people_are_told_of_results_that_are_far_off(
    terminal: Callable[..., str], sample_db: Path, qrank: Qrank
) -> None:
    words = ("search", "mortgage interest rates", "--exact", "--no-rerank", "--db", sample_db)
    assert FAR_OFF in terminal(*words)
    assert FAR_OFF not in terminal(*words, "--quiet")
    assert FAR_OFF not in terminal(*words[:1], "my faucet leaks", *words[2:])
    unknown = ("search", "zzz zzy", *words[2:])
    assert "no result contains a word of the query" in terminal(*unknown)
    assert "no result contains a word of the query" in qrank(*unknown).stderr  # a pipe
    # Of several queries there is no probability: what their words tell is for people alone.
    several = ("search", "-e", "zzz zzy", "-e", "zzz zyx", *words[2:])
    assert "no result contains a word of the query" in terminal(*several)
    assert qrank(*several).stderr == ""


def test_no_question_of_the_sample_is_said_to_be_far_off(sample_db: Path) -> None:
    lines = (SAMPLE / "queries.jsonl").read_text("utf-8").splitlines()
    with Index(sample_db) as index:
        for query in (json.loads(line)["query"] for line in lines):
            assert not index.far_off(index.search(query, rerank=False)), query


def test_links_lead_to_the_line(
    terminal: Callable[..., str], sample_db: Path, qrank: Qrank
) -> None:
    words = ("search", "nail varnish", *BM25, "-n", "1", "--db", sample_db)
    assert not LINK.search(terminal(*words))
    path = SAMPLE / "howto" / "sourdough-starter.md"
    lines = path.read_text("utf-8").splitlines()
    [row] = [n for n, line in enumerate(lines, 1) if "nail varnish" in line]
    shown = terminal(*words, "--hyperlink-format", "vscode")
    assert f"vscode://file{path}:{row}:13" in LINK.findall(shown)
    assert "]8;" not in qrank(*words, "--hyperlink-format", "vscode").stdout  # a pipe
    for bad in ("{nope}", "http://x/"):
        assert qrank(*words, "--hyperlink-format", bad).returncode == 2


@pytest.mark.parametrize(("kind", "shown"), [("xterm-256color", True), ("dumb", False)])
def test_a_sign_of_life_names_the_stage(
    sample_db: Path, environment: dict[str, str], kind: str, shown: bool
) -> None:
    with model_server.running(answers=1) as server:  # to what it is asked at first
        words = ["search", "tides", "--db", str(sample_db), "--rerank-model", server.url]
        child = pexpect.spawn(
            str(COMMAND), words, env=environment | {"TERM": kind}, encoding="utf-8", timeout=120
        )
        if shown:
            child.expect("reranking ")
        else:
            wait_until(server.holding.is_set)
        server.answers = None
        server.go_on.set()
        child.expect(pexpect.EOF)
        child.close()
    assert child.exitstatus == 0
    assert shown or "reranking " not in str(child.before)


def test_an_interrupted_index_run_says_how_far_it_is(
    tmp_path: Path, environment: dict[str, str], qrank: Qrank
) -> None:
    (tmp_path / "many").mkdir()
    for i in range(300):
        (tmp_path / "many" / f"{i}.md").write_text(f"Note {i} about subject {i}.\n", "utf-8")
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        with model_server.running(answers=2) as server:
            words = [COMMAND, "index", "many", "--db", f"{status}.db", "--embed-model", server.url]
            run = subprocess.Popen(
                words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
            )
            wait_until(server.holding.is_set, run)
            run.send_signal(number)
            _, said = run.communicate(timeout=120)
        assert run.returncode == status, said
        pattern = r"qrank: (interrupted|terminated) while \w+ \(\d+( of \d+)? done\); the next run"
        assert re.match(pattern, said), said
        assert len(said.splitlines()) == 1
    assert qrank("status", "--db", "130.db", "--json").json()["chunks"] > 0


def test_sigterm_ends_a_batch_with_whole_lines(
    tmp_path: Path, environment: dict[str, str], sample_db: Path
) -> None:
    (tmp_path / "q").write_text("tides and the moon\n" * 5000, "utf-8")
    run = subprocess.Popen(
        [COMMAND, "search", "--queries", "q", *BM25, "--db", sample_db],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert run.stdout is not None
    first = run.stdout.readline()
    run.send_signal(signal.SIGTERM)
    rest, said = run.communicate(timeout=120)
    assert (run.returncode, said) == (143, b"qrank: terminated\n")
    assert (first + rest).endswith(b"\n")


def test_a_pipe_gets_no_terminal_s_marks(qrank: Qrank, odd_db: Path) -> None:
    shown = qrank("search", "wallaby quokka", *BM25, "--db", odd_db, COLUMNS="20").stdout
    assert "\x1b" not in shown
    assert "    " + "quokka sentence." in shown
    assert "x" * 200 in shown  # lines whole


def test_formats_in_a_pipe_are_what_the_files_say(
    qrank: Qrank, odd_db: Path, tmp_path: Path
) -> None:
    out = qrank("search", "wombat", *BM25, "--db", odd_db, "--format", "{path}", "-0").stdout
    [path, rest] = out.split("\0")
    assert rest == ""
    assert (tmp_path / path).is_file()
    assert os.path.basename(path) == "evil\x1b[31m\nname.md"  # noqa: PTH119
