"""qrank config, completions and man; the reference of commands is current."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import COMMAND, ROOT, Run, complaint

Qrank = Callable[..., Run]


def test_config_keeps_what_else_the_file_says(
    qrank: Qrank, environment: dict[str, str], tmp_path: Path
) -> None:
    file = Path(qrank("config", "path").stdout.strip())
    assert file.is_relative_to(environment["HOME"])
    assert qrank("config", "get").stdout == ""
    assert qrank("config", "get", "color").returncode == 1
    file.parent.mkdir(parents=True)
    file.write_text("# mine\nthreads = 2  # few\n", "utf-8")
    assert qrank("config", "set", "collection", 'no"tes').returncode == 0
    assert file.read_text("utf-8") == '# mine\nthreads = 2  # few\ncollection = "no\\"tes"\n'
    assert qrank("config", "get", "collection").stdout == 'no"tes\n'
    assert qrank("config", "get", "collection", QRANK_COLLECTION="x").stdout == "x\n"
    qrank("config", "set", "threads", "3")
    qrank("config", "set", "collection")
    assert file.read_text("utf-8") == "# mine\nthreads = 3  # few\n"
    qrank("config", "set", "db", "here.db")
    assert qrank("config", "get", "db").stdout == f"{tmp_path / 'here.db'}\n"
    qrank("config", "set", "db")
    before = file.read_text("utf-8")
    for words, reason in (
        (["set", "nope", "1"], "there is no setting 'nope'"),
        (["get", "nope"], "there is no setting 'nope'"),
        (["set", "threads", "many"], "takes a whole number"),
        (["set", "color", "blue"], "must be one of"),
        (["set", "hyperlink_format", "{x}"], "no field {x}"),
        (["set", "collection", "x", "--project"], "not in a project"),
    ):
        assert reason in complaint(qrank("config", *words)), words
    assert file.read_text("utf-8") == before
    qrank("init")
    assert qrank("config", "set", "collection", "p", "--project").returncode == 0
    assert (tmp_path / ".qrank" / "config.toml").read_text("utf-8") == 'collection = "p"\n'
    assert qrank("config", "get", "collection").stdout == "p\n"


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("models pull qwen3-embeding-0.6b", "qwen3-embedding-0.6b"),
        ("embed --embed-model e5-smal", "e5-small"),
        ("rerank tea --rerank-model tinny", "tiny"),
        ("config set colour never", "color"),
        ("config get answer_second", "answer_seconds"),
        ("mcp install vscod", "vscode"),
        ("schema serch", "search"),
        ("index --collection note", "notes"),
        ("serch tea", "search"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_similar_one(
    qrank: Qrank, tmp_path: Path, line: str, meant: str
) -> None:
    (tmp_path / "tea.md").write_text("Steep for three minutes.\n", "utf-8")
    assert qrank("index", "tea.md", "--no-embed", "--collection", "notes").returncode == 0
    told = complaint(qrank(*line.split(), stdin="tea\n")).lower()
    assert re.search(rf"did you mean '?({meant}\b|.* or {meant}\b)", told), told
    assert len(told) < 140, told


def test_a_number_out_of_range_is_told_the_range(qrank: Qrank) -> None:
    told = complaint(qrank("search", "tea", "-n", "0"))
    assert "0 is not from 1 to 1000000 (see" in told


def asked(environment: dict[str, str], cwd: Path, *words: str) -> set[str]:
    """What the command offers for the last of words."""
    line = ["qrank", *words]
    run = subprocess.run(
        [COMMAND],
        cwd=cwd,
        env=environment
        | {
            "_QRANK_COMPLETE": "complete_bash",
            "COMP_WORDS": "\n".join(line),
            "COMP_CWORD": str(len(line) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    return set(run.stdout.split("\n")) - {""}


def test_names_are_completed(qrank: Qrank, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("tea", "utf-8")
    for name in ("notes", "novels", "$(touch owned)", "work"):
        qrank("index", "a.md", "--no-embed", "--db", "i.db", "--collection", name)
    offered = asked(environment, tmp_path, "search", "--db", "i.db", "--collection", "no")
    assert offered == {"notes", "novels"}
    every = asked(environment, tmp_path, "search", "--db", "i.db", "--collection", "")
    assert every == {"notes", "novels", "work"}  # a name that a shell could run is not offered
    assert asked(environment, tmp_path, "search", "--collection", "") == set()  # no index here
    assert {"search", "serve", "similar", "status"} == asked(environment, tmp_path, "s") - {
        "schema"
    }
    assert asked(environment, tmp_path, "search", "--rerank-model", "ti") == {"tiny"}
    assert "tiny" in asked(environment, tmp_path, "search", "--embed-model", "")
    assert asked(environment, tmp_path, "search", "--mode", "b") == {"bm25"}
    assert asked(environment, tmp_path, "config", "get", "em") == {"embed_model"}
    assert asked(environment, tmp_path, "completions", "z") == {"zsh"}
    for words in (
        ("rerank", "q", "--rerank-model"),
        ("embed", "--embed-model"),
        ("index", "--embed-model"),
        *(("models", command) for command in ("show", "pull", "verify", "bench")),
    ):
        assert asked(environment, tmp_path, *words, "ti") == {"tiny"}, words
    for command in ("index", "search", "chunks"):
        assert asked(environment, tmp_path, command, "--type", "mark") == {"markdown"}
    assert asked(environment, tmp_path, "search", "--hyperlink-format", "v") == {"vscode"}
    assert asked(environment, tmp_path, "man", "sea") == {"search"}


def test_help_is_a_command_too(qrank: Qrank) -> None:
    for words in ([], ["search"], ["models", "pull"]):
        assert qrank("help", *words).stdout == qrank(*words, "--help").stdout != ""
    assert qrank("help", "nope").returncode == 2


SHELLS = {  # what completes the words after qrank, a candidate a line
    "bash": 'source "$1"; COMP_WORDS=(qrank TYPED); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); '
    '_qrank_completion; printf "%s\\n" "${COMPREPLY[@]}"',
    "zsh": "autoload -Uz compinit; compinit -u -D; source $1; compset() { : }; "
    "compadd() { print -l ${(P)3} }; _files() { print -l *(N) }; "
    "words=(qrank TYPED); CURRENT=$#words; _qrank",
    "fish": 'source $argv[1]; complete -C "qrank TYPED"',
}


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_take_their_completions(
    qrank: Qrank, environment: dict[str, str], tmp_path: Path, shell: str
) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "statute.md").write_text("tea", "utf-8")
    for name in ("notes", "novels", "work"):
        qrank("index", "statute.md", "--no-embed", "--db", "i.db", "--collection", name)
    file = tmp_path / "completion"
    file.write_text(qrank("completions", shell).stdout, "utf-8")
    path = f"{COMMAND.parent}:{environment['PATH']}"

    def offered(words: str) -> list[str]:
        script = SHELLS[shell].replace("TYPED", words)
        line = [shell, "-c", script] + (["-", str(file)] if shell != "fish" else [str(file)])
        run = subprocess.run(
            line,
            cwd=tmp_path,
            env=environment | {"PATH": path, "QRANK_DB": "i.db"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return run.stdout.splitlines()

    assert offered("search --collection no") == ["notes", "novels"]
    # Bash gets the words split at =, and replaces what stands after it; fish the whole word.
    typed = "--collection = no" if shell == "bash" else "--collection=no"
    before = "--collection=" if shell == "fish" else ""
    assert offered(f"search {typed}") == [f"{before}notes", f"{before}novels"]
    commands = offered("stat")
    assert [line.split()[0] for line in commands] == ["status"]  # no file beside it
    assert ("Show which index" in commands[0]) == (shell != "bash")
    assert any("statute.md" in line for line in offered("index sta")) == (shell != "bash")


def test_man_pages_are_of_every_command(qrank: Qrank, tmp_path: Path) -> None:
    assert qrank("man", "--dir", "pages").returncode == 0
    names = {page.name for page in (tmp_path / "pages").iterdir()}
    assert {"qrank.1", "qrank-search.1", "qrank-models-list.1", "qrank-config-set.1"} <= names
    assert (tmp_path / "pages" / "qrank-search.1").read_text("utf-8") == qrank(
        "man", "search"
    ).stdout
    assert "there is no command" in complaint(qrank("man", "nope"))


@pytest.mark.skipif(not shutil.which("man"), reason="man is not installed")
def test_man_can_show_them(qrank: Qrank, tmp_path: Path) -> None:
    qrank("man", "--dir", "pages")
    for page in (tmp_path / "pages").iterdir():
        run = subprocess.run(
            ["man", "--warnings", "-l", page], capture_output=True, text=True, check=True
        )
        assert run.stderr == "", page
        assert "NAME" in run.stdout
    shown = subprocess.run(
        ["man", "-l", tmp_path / "pages" / "qrank-search.1"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "100", "LC_ALL": "C.UTF-8"},
    ).stdout
    assert "\n       title:word       the word is in the title" in shown  # a line of its own
    assert "--hyperlink-format FORMAT" in shown
    assert r"'{path}:{line}\t{score}'" in shown


def test_the_version_names_the_engine(qrank: Qrank) -> None:
    lines = qrank("--version").stdout.splitlines()
    assert lines[0].startswith("qrank ")
    assert lines[1].startswith("llama.cpp of llama-cpp-python ")
    assert any(line.startswith("device ") for line in lines)


def test_the_reference_and_the_picture_are_current() -> None:
    run = subprocess.run(
        [sys.executable, ROOT / "docs" / "make.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
