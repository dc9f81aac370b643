"""The examples in README and docs run; links, options and names in them exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support import COMMAND, ROOT, SAMPLE, clean_environment

import qrank
from qrank import config
from qrank.cli.app import root
from qrank.cli.help import EXAMPLES
from qrank.cli.shell import manual

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GUIDES = [ROOT / name for name in ("CONTRIBUTING.md", "training/README.md", "benchmarks/README.md")]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOOLS = ("rg", "jq")  # that recipes go on with, where they are installed
NAMES = [name.replace("-", " ") for name, _ in manual.pages(root()) if name != "qrank"]


def examples(language: str) -> list[tuple[str, str]]:
    """(page, code) of each fenced example; the README's set-up commands are .ci/run's to run."""
    found = [
        (page.name, code)
        for page in PAGES
        for named, code in FENCE.findall(page.read_text("utf-8"))
        if named == language and ".venv/" not in code
    ]
    assert found, f"no {language} examples: has the way they are fenced changed?"
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the reader has it: the sample, an index of it, and one called notes.db."""
    place = tmp_path_factory.mktemp("reader")
    shutil.copytree(SAMPLE, place / "sample_corpus")
    environment = clean_environment(place / "home")
    for words in (
        ["init"],
        ["index", "sample_corpus"],
        ["index", "sample_corpus", "--db", "notes.db"],
    ):
        subprocess.run(
            [COMMAND, *words], cwd=place, env=environment, check=True, capture_output=True
        )
    return place


@pytest.mark.parametrize(("page", "code"), examples("sh"))
def test_every_command_shown_works(folder: Path, page: str, code: str) -> None:
    environment = clean_environment(folder / "home")
    environment["PATH"] = f"{COMMAND.parent}:{environment['PATH']}"
    for line in code.splitlines():
        if any(re.search(rf"(?:^|\| ){tool} ", line) and not shutil.which(tool) for tool in TOOLS):
            continue
        run = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=folder,
            env=environment,
            capture_output=True,
            check=False,
        )
        assert run.returncode == 0, (page, line, run.stderr.decode())


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_of_a_help_page_works(folder: Path, name: str) -> None:
    environment = clean_environment(folder / "home")
    environment["PATH"] = f"{COMMAND.parent}:{environment['PATH']}"
    shown = subprocess.run([COMMAND, name, "--help"], capture_output=True, text=True, check=True)
    for line in EXAMPLES[name]:
        assert line in shown.stdout
        if "| jq" in line and not shutil.which("jq"):
            continue
        run = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line], cwd=folder, env=environment, capture_output=True
        )
        assert run.returncode == 0, (line, run.stderr.decode())


@pytest.mark.parametrize(("page", "code"), examples("python"))
def test_every_python_example_works(folder: Path, page: str, code: str) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env=clean_environment(folder / "home"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, (page, run.stderr)
    assert run.stdout, page


@pytest.mark.parametrize(("page", "code"), examples("toml"))
def test_every_setting_shown_exists(page: str, code: str) -> None:
    assert set(tomllib.loads(code)) <= {*config.KEYS, *config.MODELS}, page


def test_every_command_is_in_the_pages_written_by_hand() -> None:
    pages = "".join(page.read_text("utf-8") for page in PAGES if page.name != "commands.md")
    assert len(NAMES) > 15
    for name in NAMES:
        assert name in pages, name


def test_every_command_and_option_has_help() -> None:
    for _, context in manual.commands(root()):
        assert context.command.help
        for parameter in context.command.get_params(context):
            record = parameter.get_help_record(context)
            assert record is None or record[1].strip(), (context.command_path, parameter.name)


def test_examples_of_a_help_page_are_of_that_command() -> None:
    shown = {name: context.command.get_help(context) for name, context in manual.commands(root())}
    with_examples = {name: page for name, page in shown.items() if "\nExamples:\n" in page}
    assert len(with_examples) >= 8
    for name, page in with_examples.items():
        for line in page.partition("\nExamples:\n")[2].strip().splitlines():
            assert name in line, (name, line)


def test_the_list_of_commands_is_not_cut() -> None:
    for name, context in manual.commands(root()):
        listed = context.command.get_help(context).partition("\nCommands:\n")[2]
        assert "..." not in listed, (name, listed)


def test_help_fits_a_terminal_and_shows_no_range_without_limits() -> None:
    for name, context in manual.commands(root()):
        page = context.command.get_help(context)
        assert "1000000" not in page, name
        examples = page.partition("\nExamples:\n")[2].splitlines()
        assert all(len(line) <= 81 for line in page.splitlines() if line not in examples), name


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PAGES, *GUIDES]:
        text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text("utf-8"))
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", text):
            linked = page.parent / target if target else page
            assert linked.exists(), (page.name, target)
            assert not anchor or anchor in anchors(linked), (page.name, target, anchor)


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_version_is_one_and_in_the_changelog() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == qrank.__version__
    assert f"## {qrank.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
