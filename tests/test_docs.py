"""What README and docs show runs, and they name what there is."""

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
from qrank import settings

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = [
    "chunks",
    *("index", "search", "rerank", "embed", "eval", "status", "doctor", "init", "models list"),
    *("remove", "vacuum", "export", "import"),
]


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
        run = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=folder,
            env=environment,
            capture_output=True,
            check=False,
        )
        assert run.returncode == 0, (page, line, run.stderr.decode())


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
    assert set(tomllib.loads(code)) <= set(settings.KEYS), page


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_the_readme_names_it(command: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [COMMAND, *command.split(), "--help"],
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--db" in run.stdout
    assert f"qrank {command}" in (ROOT / "README.md").read_text("utf-8")


def test_no_command_is_left_out_here(tmp_path: Path) -> None:
    run = subprocess.run(
        [COMMAND, "--help"],
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    listed = run.stdout.partition("Commands:")[2].splitlines()
    names = {line.split()[0] for line in listed if line.startswith("  ") and line[2] != " "}
    assert names == {command.split()[0] for command in COMMANDS}


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), (page.name, target)


def test_the_version_is_one_and_in_the_changelog() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == qrank.__version__
    assert f"## {qrank.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
