"""Exceptions of readers: the file is skipped, with the same reason in every process."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import Run

from qrank.indexing.prefixes import prefixes
from qrank.ingest.problems import problem_of
from qrank.ingest.readers import read_all
from qrank.results import Signature, Task
from qrank.settings import READ_ALL

Qrank = Callable[..., Run]
RAISED = {
    "RecursionError": "nested too deeply",
    "MemoryError": "needs too much memory",
    "ValueError": "possibly damaged: ValueError: it tripped",
    "KeyError": "possibly damaged: KeyError: 'it tripped'",
    "AssertionError": "possibly damaged: AssertionError: it tripped",
    "UnicodeError": "possibly damaged: UnicodeError: it tripped",
}


@pytest.fixture
def tripping(tmp_path: Path) -> Path:
    """The library for Markdown as if it had bugs: it raises what a text asks for."""
    folder = tmp_path / "tripping"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import builtins, pyromark\n"
        "def events(text, **options):\n"
        "    for word in text.split():\n"
        "        if word.startswith('raise-'):\n"
        "            raise getattr(builtins, word[6:])('it tripped')\n"
        "    return real(text, **options)\n"
        "real, pyromark.events_with_range = pyromark.events_with_range, events\n",
        "utf-8",
    )
    return folder


def reasons(run: Run) -> dict[str, str]:
    return {Path(problem["path"]).name: problem["reason"] for problem in run.json()["errors"]}


def test_a_file_s_problem_is_the_same_here_and_in_a_worker(
    qrank: Qrank, tmp_path: Path, tripping: Path
) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for name in RAISED:
        text = f"# Notes\n\nraise-{name}\n".encode()
        (notes / f"{name}.md").write_bytes(text)
        (notes / f"{name}.md.gz").write_bytes(gzip.compress(text))
    (notes / "z.md").write_text("# Last\n\nThe good one.\n", "utf-8")
    words = ("index", "notes", "--no-embed", "--db", "i.db", "--json")
    run = qrank(*words, PYTHONPATH=str(tripping))
    assert run.json()["files"]["added"] == 1
    assert run.json()["files"]["failed"] == 2 * len(RAISED)
    said = reasons(run)
    for name, reason in RAISED.items():
        assert said[f"{name}.md"] == said[f"{name}.md.gz"] == reason
    again = qrank(*words, PYTHONPATH=str(tripping))
    assert reasons(again) == said
    assert all(problem["known"] for problem in again.json()["errors"])


def test_the_rest_of_a_long_file_may_fail_too(qrank: Qrank, tmp_path: Path, tripping: Path) -> None:
    (tmp_path / "long").mkdir()
    long = b"A paragraph of some words.\n\n" * 170_000 + b"raise-RecursionError\n"
    (tmp_path / "long" / "a.md").write_bytes(long)
    (tmp_path / "long" / "b.md.gz").write_bytes(gzip.compress(long, 1))
    (tmp_path / "long" / "c.md").write_bytes(b"The good one.\n")
    words = ("index", "long", "--no-embed", "--db", "i.db", "--json")
    run = qrank(*words, PYTHONPATH=str(tripping))
    assert reasons(run) == dict.fromkeys(("a.md", "b.md.gz"), "nested too deeply")
    assert run.json()["files"]["added"] == 1
    shown = qrank("chunks", "long", "--json", PYTHONPATH=str(tripping)).json()
    assert [bool(file["chunks"]) for file in shown["files"]] == [False, False, True]


def test_deep_front_matter_does_not_cost_the_file(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(f"+++\na = {'[' * 3000}{']' * 3000}\n+++\nTea.\n", "utf-8")
    (tmp_path / "b.md").write_text(f"---\na: {'[' * 3000}{']' * 3000}\n---\nTea.\n", "utf-8")
    run = qrank("index", "a.md", "b.md", "--no-embed", "--db", "i.db", "--json")
    assert run.json()["files"]["added"] == 2
    assert run.json()["errors"] == []


def test_a_beginning_that_can_t_be_read_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\0")
    found = prefixes([f"{tmp_path}/a\0b", f"{tmp_path}/gone.md", f"{tmp_path}/a.png"])
    assert [each.reason for each in found] == [
        "embedded null byte", "no such file or directory", "binary file",
    ]  # fmt: skip


def test_a_reason_is_one_line_of_some_length(qrank: Qrank, tmp_path: Path) -> None:
    said = problem_of(ValueError("a\nb" * 5000)).reason
    assert "\n" not in said
    assert len(said) <= 500
    (tmp_path / "a.csv").write_text(",".join(f"column {i}" for i in range(9000)) + "\n1\n", "utf-8")
    run = qrank("chunks", "a.csv", "--fields", "x", "--json").stdout
    assert "no row has text under x; there are: column 0" in run
    assert len(run) < 1000


def test_code_that_would_take_a_grammar_all_memory_is_read(tmp_path: Path) -> None:
    """In a worker's memory tree-sitter crashed: blocks are told by indentation before that."""
    path = tmp_path / "a.c"
    path.write_text("(a)" * 1_300_000, "utf-8")
    for outcome in read_all([Task(str(path), Signature.of(path.stat()))], READ_ALL):
        assert not outcome.problem
        chunks = sum(len(part.chunks) for part in outcome.parts())
        assert chunks > 1000


def test_the_rest_of_a_file_ends_when_reading_was_ended(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"who,what\n" + b"a guest,tea for two\n" * 600_000, 1))
    outcomes = read_all([Task(str(path), Signature.of(path.stat()))], READ_ALL)
    outcome = next(outcomes)
    assert not outcome.complete
    outcomes.close()  # type: ignore[attr-defined]
    with ThreadPoolExecutor(1) as thread:
        rest = thread.submit(list, outcome.rest)
        with pytest.raises(OSError, match="reading was ended"):
            rest.result(timeout=120)
