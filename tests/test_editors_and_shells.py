"""qrank's output in other programs: the fzf widget, and quickfix lists of editors."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pdf_files import Pdf, text
from support import COMMAND, ROOT, Run, complaint

Qrank = Callable[..., Run]
RECIPES = (ROOT / "docs" / "recipes.md").read_text("utf-8")
TEXT = "# Birds\n\nA kestrel hovers.\n"
FILES = {"a bird's.md": TEXT, "b.md": "# More\n\n\nThe kestrel is a falcon.\n"}


@pytest.fixture
def birds(qrank: Qrank, tmp_path: Path) -> Path:
    for name, said in FILES.items():
        (tmp_path / name).write_text(said, "utf-8")
    assert qrank("index", ".", "--db", ".qrank/index.db", "--no-embed").returncode == 0
    return tmp_path


def on_a_terminal(folder: Path, environment: dict[str, str], *words: str) -> None:
    """Run a command with a terminal of its own, until it ends."""
    child, terminal = pty.fork()
    if not child:
        os.chdir(folder)
        os.execvpe(words[0], words, environment)
    while True:
        try:
            if not os.read(terminal, 1 << 16):
                break
        except OSError:
            break
    os.close(terminal)
    os.waitpid(child, 0)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_widget_for_fzf_gives_the_places_of_results(
    qrank: Qrank, birds: Path, environment: dict[str, str], shell: str
) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    script = birds / "widget"
    script.write_text(qrank("completions", "fzf-fish" if shell == "fish" else "fzf").stdout)
    subprocess.run([shell, "-n", script], check=True)
    if not shutil.which("fzf"):
        pytest.skip("fzf is not installed")
    environment |= {
        "PATH": f"{COMMAND.parent}:{environment['PATH']}",
        "QRANK_FZF_OPTS": "--bind load:select-all+accept",
    }
    on_a_terminal(
        birds, environment, shell, "-c", "source ./widget; qrank-fzf kestrel > places.txt"
    )
    places = (birds / "places.txt").read_text("utf-8")
    asked = subprocess.run(
        [shell, "-c", f"printf '%s\\n' {' '.join(places.split(chr(10)))}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(asked.stdout.splitlines()) == {"a bird's.md:3", "b.md:4"}


def test_vim_steps_through_results(qrank: Qrank, birds: Path, environment: dict[str, str]) -> None:
    settings = re.findall(r"^set grep\w+=.*$", RECIPES, re.MULTILINE)
    assert len(settings) == 2
    if not shutil.which("vim"):
        pytest.skip("vim is not installed")
    after = "call writefile(map(getqflist(), 'bufname(v:val.bufnr) . \":\" . v:val.lnum'), 'list')"
    commands = [*settings, "set shell=bash", "silent grep! kestrel", after, "qall!"]
    (birds / "script.vim").write_text("\n".join(commands), "utf-8")
    subprocess.run(
        ["vim", "-es", "-u", "NONE", "-S", "script.vim"],
        cwd=birds,
        env=environment | {"PATH": f"{COMMAND.parent}:{environment['PATH']}"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert set((birds / "list").read_text("utf-8").split("\n")) >= {"a bird's.md:3", "b.md:4"}


def test_problem_matchers_of_vs_code_and_emacs_match_every_line(qrank: Qrank, birds: Path) -> None:
    [task] = [json.loads(code) for code in re.findall(r"```json\n(.*?)```", RECIPES, re.DOTALL)]
    pattern = task["tasks"][0]["problemMatcher"]["pattern"]
    form = task["tasks"][0]["args"][task["tasks"][0]["args"].index("--format") + 1]
    assert f"--format '{form}'" in RECIPES  # emacs is told the same
    lines = qrank("search", "kestrel", "--format", form).stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        found = re.fullmatch(pattern["regexp"], line)
        assert found, line
        assert found[pattern["file"]] in FILES
        assert found[pattern["line"]] in ("3", "4")
        assert found[pattern["message"]]
    opened = qrank("open", lines[0].rsplit(":", 2)[0].rsplit(":", 1)[0] + ":3")
    assert opened.stdout.endswith(":3\n")


@pytest.mark.parametrize(
    ("place", "variables", "opened"),
    [
        ("two.pdf#page=2", {"VISUAL": "./log {path} {page}"}, "two.pdf 2"),
        ("two.pdf", {"VISUAL": "./log {page} {line}"}, "two.pdf"),  # by the viewer
        ("two.pdf", {"DISPLAY": ":0"}, "two.pdf"),
        ("a bird's.md:3", {"DISPLAY": ":0"}, "+3 a bird's.md"),
        ("two.pdf#page=2", {}, "two.pdf.txt"),  # a copy of the text
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have a viewer at any time")
def test_open_shows_what_is_no_text_by_the_viewer_or_as_text(
    qrank: Qrank,
    birds: Path,
    environment: dict[str, str],
    place: str,
    variables: dict[str, str],
    opened: str,
) -> None:
    made = Pdf()
    for said in ("The first page.", "A merlin on the second."):
        made.page(text((72, 700, said)))
    (birds / "two.pdf").write_bytes(made.bytes())
    assert qrank("index", "two.pdf", "--db", ".qrank/index.db", "--no-embed").returncode == 0
    for name in ("log", "bin/xdg-open"):
        (birds / name).parent.mkdir(exist_ok=True)
        (birds / name).write_text('#!/bin/sh\nprintf "%s " "$@" > log.txt\n', "utf-8")
        (birds / name).chmod(0o755)
    environment |= {"VISUAL": "./log", "PATH": f"{birds}/bin:{environment['PATH']}"}
    environment.pop("DISPLAY", None)
    environment.pop("WAYLAND_DISPLAY", None)
    if "{page} {line}" in variables.get("VISUAL", ""):
        variables = variables | {"DISPLAY": ":0"}
    on_a_terminal(birds, environment | variables, str(COMMAND), "open", place)
    words = (birds / "log.txt").read_text("utf-8").split(" ")[:-1]
    assert " ".join(Path(word).name for word in words).endswith(opened)
    if opened.endswith(".txt"):
        line = int(words[0].removeprefix("+"))
        lines = Path(words[-1]).read_text("utf-8").split("\n")
        assert "merlin" in " ".join(lines[line - 1 : line + 2])


def test_a_table_has_the_fields_of_results(qrank: Qrank, birds: Path) -> None:
    printed = qrank("search", "kestrel", "--mode", "bm25", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(printed)))
    results = qrank("search", "kestrel", "--mode", "bm25", "--jsonl").lines()
    assert [row["text"] for row in rows] == [result["text"] for result in results]
    assert [int(row["start_line"]) for row in rows] == [result["start_line"] for result in results]
    chosen = qrank("search", "kestrel", "--csv", "--fields", "path,matches").stdout
    assert chosen.splitlines()[0] == "path,matches"
    assert json.loads(next(csv.DictReader(io.StringIO(chosen)))["matches"])
    assert qrank("search", "xqzzyflurb", "--mode", "bm25", "--csv").returncode == 1
    said = complaint(qrank("search", "kestrel", "--csv", "--json"))
    assert "--json and --csv can't be combined" in said
