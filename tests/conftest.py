"""Fixtures: the installed command with its own folder and home, and an index of the sample."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from support import COMMAND, SAMPLE, Run, clean_environment

settings.register_profile("qrank", deadline=None)  # a busy machine is no failure
settings.load_profile("qrank")

# What needs a POSIX terminal, or its signals, is not for Windows.
collect_ignore = ["test_terminal.py", "test_interactive.py", "test_crash.py"] * (os.name == "nt")


@pytest.fixture(autouse=True, scope="session")
def home_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """This process has a home of its own, too: the user's may have models, which `auto` would take,
    and what is cached here must not be there in the next run."""
    home = tmp_path_factory.mktemp("home-of-tests")
    with pytest.MonkeyPatch.context() as patched:
        for name in [name for name in os.environ if name.startswith(("QRANK_", "XDG_"))]:
            patched.delenv(name)
        patched.setenv("HOME", str(home))
        patched.setenv("XDG_CACHE_HOME", str(home / "cache"))
        yield


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return clean_environment(tmp_path_factory.mktemp("home"))


@pytest.fixture
def qrank(tmp_path: Path, environment: dict[str, str]) -> Callable[..., Run]:
    """Run the installed command in tmp_path: qrank("search", "tea", stdin="…", QRANK_DB="…")."""

    def run(
        *args: object,
        stdin: str | bytes = b"",
        prefix: Sequence[str] = (),
        cwd: Path = tmp_path,
        **variables: str,
    ) -> Run:
        words = tuple(map(str, args))
        done = subprocess.run(
            [*prefix, COMMAND, *words],
            cwd=cwd,
            env=environment | variables,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=300,
            check=False,
        )
        return Run(words, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture(scope="session")
def sample_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of sample_corpus, made by the installed command with the default models."""
    folder = tmp_path_factory.mktemp("sample")
    db = folder / "sample.db"
    subprocess.run(
        [COMMAND, "index", str(SAMPLE), "--db", str(db)],
        check=True,
        env=clean_environment(folder),
        capture_output=True,
    )
    return db
