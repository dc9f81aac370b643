"""The fuzz program works, and finds nothing in a few seconds (it is meant for an hour)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz import Made, found_wrong
from pathological import inputs

from qrank.ingest.prepare import Outcome
from qrank.ingest.readers import Problem, read_all
from qrank.results import Signature, Task
from qrank.settings import READ_ALL

PROGRAM = Path(__file__).parent / "fuzz.py"


def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    words = [sys.executable, PROGRAM, "--seed", "7", "--inputs", "40", "--keep", tmp_path / "kept"]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, ""), run.stdout
    assert run.stdout == "seed 7\nseed 7: 40 files, 0 findings\n"
    assert not (tmp_path / "kept").exists()


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"One sentence. " * 200)
    task = Task(str(path), Signature.of(path.stat()))
    [outcome] = read_all([task], READ_ALL)
    assert not outcome.problem
    assert list(found_wrong(outcome, Made("", "txt", path.read_bytes()))) == []
    [said] = found_wrong(outcome, Made("", "txt", b"Two sentences. " * 200))
    assert said.startswith("chunk 0 is not what lies at 0-")
    outcome.first.chunks.reverse()
    [said] = found_wrong(outcome, Made("", "csv", b""))
    assert said.startswith("chunk 1 is at 1190-")
    crashed = Outcome(task, problem=Problem("failed", "its parser crashed (SIGSEGV)"))
    assert list(found_wrong(crashed, Made("", "txt", b""))) == ["its parser crashed (SIGSEGV)"]


@pytest.mark.parametrize("size", [10, 1000])
def test_inputs_have_names_of_their_own_and_their_size(size: int) -> None:
    made = list(inputs(size))
    assert len({each.name for each in made}) == len(made) > 150
    assert all(each.data for each in made)
