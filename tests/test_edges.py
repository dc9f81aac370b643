"""Every command with closed or full streams, invalid numbers, an unusable index file, or in a
deleted folder: a message and status 2."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import every_command
import pytest
from every_command import LINES, SILENT, STDIN
from support import Run, complaint, read_only

from qrank.cli.app import root
from qrank.cli.shell import manual

Qrank = Callable[..., Run]
COMMANDS = {
    name.removeprefix("qrank").strip(): context for name, context in manual.commands(root())
}
LEAVES = {name for name, context in COMMANDS.items() if not hasattr(context.command, "commands")}
ALL_LINES = [line for lines in LINES.values() for line in lines]
OF_INDEX = [line for lines in LINES.values() for line in lines[:1] if "--db i.db" in line]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    every_command.make(folder)
    return folder


@pytest.fixture
def place(filled: Path) -> Path:
    """The folder with what the lines name; its index is as it was made."""
    for left in [*filled.glob("i.db-*"), filled / "made.gguf"]:
        left.unlink(missing_ok=True)
    shutil.copy(filled / "whole.db", filled / "i.db")
    return filled


@pytest.fixture
def qrank(qrank: Qrank, filled: Path) -> Qrank:
    """The command in that folder."""

    def run(*args: object, **more: Any) -> Run:
        return qrank(*args, **{"cwd": filled, "QRANK_COLOR": "auto"} | more)

    return run


def shell(redirection: str) -> list[str]:
    """What to put before a command so that its streams are redirected."""
    return ["sh", "-c", f'exec "$@" {redirection}', "sh"]


def test_every_command_has_its_line() -> None:
    assert set(LINES) | set(SILENT) == LEAVES


@pytest.mark.parametrize("line", ["--version", *ALL_LINES])
@pytest.mark.parametrize(
    ("redirection", "reason"),
    [("> /dev/full", "no space left on device"), (">&-", "it is closed")],
)
def test_a_stdout_that_takes_nothing_is_said(
    qrank: Qrank, place: Path, line: str, redirection: str, reason: str
) -> None:
    run = qrank(*line.split(), stdin="kestrel\n", prefix=shell(redirection))
    assert complaint(run) == f"qrank: can't write to stdout: {reason}"


@pytest.mark.parametrize("name", COMMANDS)
def test_so_is_that_of_help(qrank: Qrank, name: str) -> None:
    run = qrank(*name.split(), "--help", prefix=shell("> /dev/full"))
    assert complaint(run) == "qrank: can't write to stdout: no space left on device"


@pytest.mark.parametrize("line", STDIN)
def test_a_closed_stdin_is_said(qrank: Qrank, place: Path, line: str) -> None:
    run = qrank(*line.split(), prefix=shell("<&-"))
    assert complaint(run) == "qrank: can't read stdin: it is closed"


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_a_stderr_that_takes_nothing_costs_nothing(
    qrank: Qrank, place: Path, redirection: str
) -> None:
    (place / "left.docx").write_bytes(b"\0no document")  # which is a warning
    words = ("index", "notes", "left.docx", "--no-embed", "--db", "i.db")
    run = qrank(*words, prefix=shell(redirection))
    assert run.returncode == 0
    assert run.stdout.startswith("3 unchanged, 1 skipped;")
    run = qrank("search", "kestrel", "--db", "nowhere.db", prefix=shell(redirection))
    assert (run.returncode, run.stdout) == (2, "")


def test_no_file_takes_a_closed_stream_s_place(qrank: Qrank, place: Path) -> None:
    """What is opened first would get the number of stdout, and be written to as if it was it."""
    (place / "c.md").write_text("A zeppelin came by.\n", "utf-8")
    words = ("index", "c.md", "--embed-model", "tiny", "--db", "i.db")
    assert qrank(*words, prefix=shell("<&- >&- 2>&-")).returncode == 2
    assert qrank("doctor", "--index", "--db", "i.db").returncode == 0
    assert qrank("search", "zeppelin", "--mode", "bm25", "--db", "i.db", "--count").stdout == "1\n"


@pytest.mark.parametrize("line", [lines[0] for lines in LINES.values()])
def test_a_working_folder_that_is_gone_is_said(qrank: Qrank, place: Path, line: str) -> None:
    enter = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    run = qrank(*line.split(), stdin="kestrel\n", prefix=["sh", "-c", enter, "sh"])
    if run.returncode == 2:
        said = complaint(run)
        file_of_its_own = line.startswith(("eval", "models quantize"))
        assert "the working folder no longer exists" in said or file_of_its_own, said
    else:
        assert (run.returncode, run.stderr) == (0, "")
        assert run.stdout


def numbers() -> Iterator[tuple[str, list[str]]]:
    """(command, names of the option) of every option that takes a number; those that many commands
    have, once."""
    seen = set()
    for name, context in COMMANDS.items():
        for parameter in context.command.params:
            common = parameter.name in ("threads", "gpu_layers")
            if takes_number(parameter) and not (common and parameter.name in seen):
                seen.add(parameter.name)
                yield name, parameter.opts


def takes_number(parameter: Any) -> bool:
    kinds = ("int", "float", "int range", "float range")
    metavars = ("N", "S", "K|all", "SECONDS", "SIZE")
    return parameter.type.name in kinds or parameter.metavar in metavars


def test_the_options_with_numbers_are_found() -> None:
    found = {option for _, options in numbers() for option in options}
    assert found >= {
        *("--threads", "--gpu-layers", "-n", "--candidates", "--budget", "--min-score", "-C"),
        *("--max-tokens", "--dims", "--per-file", "--max-filesize", "--timeout"),
    }


@pytest.mark.parametrize(("name", "options"), list(numbers()))
def test_a_number_that_means_nothing_is_said(qrank: Qrank, name: str, options: list[str]) -> None:
    option = options[0]
    needed = {"rerank": ["query"], "index": ["."], "chunks": ["."]}.get(name, [])
    for value in ("nan", "inf", "9" * 5000):
        said = complaint(qrank(*name.split(), *needed, option, value))
        assert option in said, said


@pytest.mark.parametrize("name", ["threads", "gpu_layers"])
def test_so_is_one_that_is_preset(qrank: Qrank, name: str, environment: dict[str, str]) -> None:
    wanted = f"the setting {name} takes a whole number from "
    words = ("embed", "--embed-model", "tiny")
    for value in ("9" * 5000, "-1"):
        assert wanted in complaint(qrank(*words, stdin="x", **{f"QRANK_{name.upper()}": value}))
        assert wanted in complaint(qrank("config", "set", "--", name, value))
    file = Path(qrank("config", "path").stdout.strip())
    assert not file.exists()
    file.parent.mkdir(parents=True)
    for value in ("9" * 20, "-1"):
        file.write_text(f"{name} = {value}\n", "utf-8")
        assert wanted in complaint(qrank(*words, stdin="x"))


def test_a_date_may_be_any_that_there_is(qrank: Qrank, place: Path) -> None:
    words = ("search", "kestrel", "--mode", "bm25", "--db", "i.db", "--count")
    for zone in ("Asia/Tokyo", "America/Los_Angeles"):
        for option, date, found in (
            ("--until", "9999-12-31", 2),
            ("--since", "9999-12-31T23:59:59", 0),
            ("--since", "0001-01-01", 2),
            ("--until", "0001-01-01", 0),
        ):
            run = qrank(*words, option, date, "-q", TZ=zone)
            assert (run.stdout, run.stderr) == (f"{found}\n", ""), run


@pytest.mark.parametrize("line", OF_INDEX)
def test_an_index_file_that_can_t_be_used_is_said(qrank: Qrank, place: Path, line: str) -> None:
    (place / "fold").mkdir(exist_ok=True)
    (place / "closed").mkdir(exist_ok=True)
    shutil.copy(place / "i.db", place / "closed" / "i.db")
    (place / "odd.db").write_bytes(b"\x00\xff" * 3000)
    for db in ("fold", "q.txt/i.db", "odd.db", ""):
        complaint(qrank(*line.removesuffix("--db i.db").split(), "--db", db, stdin="kestrel\n"))
    words = line.replace("--db i.db", "--db closed/i.db").split()
    with read_only(place / "closed") as prefix:
        (place / "closed").chmod(0)  # nothing in it can be looked at
        assert "permission denied" in complaint(qrank(*words, prefix=prefix))


@pytest.mark.parametrize("line", ["index notes --no-embed", "init", "import export.jsonl"])
def test_an_index_file_that_can_t_be_made_is_said(qrank: Qrank, place: Path, line: str) -> None:
    (place / "locked").mkdir(exist_ok=True)
    with read_only(place / "locked") as prefix:
        for db in ("locked/i.db", "locked/below/i.db"):
            said = complaint(qrank(*line.split(), "--db", db, prefix=prefix))
            assert "permission" in said, said
            assert db in said, said


def test_a_preset_index_file_that_can_t_be_named_is_said(qrank: Qrank) -> None:
    file = Path(qrank("config", "path").stdout.strip())
    file.parent.mkdir(parents=True)
    file.write_text('db = "a\\u0000b"\n', "utf-8")
    assert "is not a valid file name" in complaint(qrank("search", "kestrel"))


def test_what_is_no_export_is_not_taken_in(qrank: Qrank, place: Path) -> None:
    (place / "odd").write_bytes(bytes(range(256)) * 40)
    (place / "empty").touch()
    for name, reason in {
        "notes": "can't read notes: is a directory",
        "odd": "line 1 of odd is not a valid line of an export: ",
        "q.jsonl": "line 1 of q.jsonl is not a valid line of an export: ",
        "notes/a.md": "line 1 of notes/a.md is not a valid line of an export: it is not JSON; ",
        "empty": "line 1 of empty is not a valid line of an export: it is empty; ",
        "/dev/null": "line 1 of /dev/null is not a valid line of an export: it is empty; ",
    }.items():
        assert complaint(qrank("import", name, "--db", "new.db")).startswith(f"qrank: {reason}")
        assert not (place / "new.db").exists()
    header, *rest = (place / "export.jsonl").read_text("utf-8").splitlines(keepends=True)
    (place / "mixed.jsonl").write_text(header + rest[0] + rest[1] + "Tea.\n", "utf-8")
    said = complaint(qrank("import", "mixed.jsonl", "--db", "i.db"))
    assert "line 4 of mixed.jsonl is not a valid line of an export: it is not JSON; " in said
    (place / "deep.jsonl").write_text(header + "[" * 100_000, "utf-8")
    assert "line 2 of deep.jsonl " in complaint(qrank("import", "deep.jsonl", "--db", "i.db"))
