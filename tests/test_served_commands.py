"""The tests of commands again, with the commands run by qrank serve."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import test_fields
import test_filter_commands
import test_indexes
import test_matching
import test_output_forms
import test_passages
import test_places
import test_search_command
import test_terminal
from support import clean_environment
from warm_process import status, warm_process

SAME = (
    test_search_command,
    test_filter_commands,
    test_passages,
    test_output_forms,
    test_terminal,
    test_places,
    test_fields,
    test_matching,
    test_indexes,
)
RUN_THE_COMMAND = {"qrank", "environment", "terminal"}  # fixtures

for module in SAME:
    for name, value in vars(module).items():
        if not name.startswith("test_") or not callable(value):
            globals().setdefault(name, value)  # fixtures, and what they use
        elif RUN_THE_COMMAND & {*inspect.signature(value).parameters}:
            assert name not in globals(), name
            globals()[name] = value


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a warm process listens."""
    folder = tmp_path_factory.mktemp("runtime")
    environment = clean_environment(tmp_path_factory.mktemp("home"))
    with warm_process(environment | {"XDG_RUNTIME_DIR": str(folder)}):
        yield folder


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory, runtime: Path) -> dict[str, str]:
    home = tmp_path_factory.mktemp("home")
    return clean_environment(home) | {"XDG_RUNTIME_DIR": str(runtime)}


@pytest.fixture(autouse=True)
def is_run_by_it(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that searches the sample did so by way of the warm process."""
    if not {"qrank", "sample_db"} <= {*request.fixturenames}:
        yield
        return
    environment = request.getfixturevalue("environment")
    before = status(environment)["commands"]
    yield
    assert status(environment)["commands"] > before
