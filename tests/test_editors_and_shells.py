"""What other programs make of qrank's lines: the widget for fzf, and lists of places in editors."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import COMMAND, ROOT, Run

Qrank = Callable[..., Run]
RECIPES = (ROOT / "docs" / "recipes.md").read_text("utf-8")
TEXT = "# Birds\n\nA kestrel hovers.\n"
FILES = {"a bird's.md": TEXT, "b.md": "# More\n\n\nThe kestrel is a falcon.\n"}


@pytest.fixture
def birds(qrank: Qrank, tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, "utf-8")
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
