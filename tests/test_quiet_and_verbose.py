"""Messages with --quiet and --verbose, and the progress of long runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import every_command
import pytest
from every_command import LINES
from support import Run, complaint

from qrank.cli.output.progress_lines import EVERY, Lines

Qrank = Callable[..., Run]
# What only says what it did is silent; others print what they were asked for.
REPORTS = {
    *("index", "remove", "vacuum", "import", "init"),
    *("models pull", "models verify", "models quantize", "config set", "collections set"),
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    every_command.make(folder)
    return folder


def test_quiet_keeps_every_command_from_saying_anything(qrank: Qrank, filled: Path) -> None:
    for name, lines in LINES.items():
        for line in lines:
            asked = line.removesuffix(" -q").split()
            prints = {"--json", "--dry-run"} & set(asked) or name not in REPORTS
            shutil.copy(filled / "whole.db", filled / "i.db")
            run = qrank(*asked, "-q", cwd=filled, stdin="kestrel\n", QRANK_COLOR="auto")
            assert run.returncode == 0, run
            assert run.stderr == "", run
            if name not in ("search", "similar"):  # test_output_forms.py: silent for people
                assert bool(run.stdout) == bool(prints), run
            (filled / "made.gguf").unlink(missing_ok=True)


def test_quiet_keeps_errors_and_skipped_files_known(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("tea\n", "utf-8")
    (tmp_path / "notes" / "b.pdf").write_bytes(b"%PDF-1.4 broken")
    words = ("index", "notes", "--no-embed", "--db", "i.db")
    assert "b.pdf" in qrank(*words).stderr
    again = qrank(*words, "-q")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert "no file or folder" in complaint(qrank("index", "nope", "--db", "i.db", "-q"))
    assert "b.pdf" in qrank(*words, "-v").stderr  # known, but asked for


def test_verbose_says_what_takes_long(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Steep green tea.\n", "utf-8")
    (tmp_path / "b.txt").write_text("An owl\n", "utf-8")
    slow = tmp_path / "slow"
    slow.write_text('#!/bin/sh\nsleep 1.2\ncat "$1"\n', "utf-8")
    slow.chmod(0o755)
    words = ("index", "a.md", "b.txt", "--db", "i.db", "--pre", f"{slow}", "--pre-glob", "b.txt")
    said = qrank(*words, "-v").stderr
    for part in (f"qrank: read {tmp_path}/b.txt in ", "qrank: reading: 2, ", "qrank: embedding"):
        assert part in said
    assert "qrank: loaded the embedder tiny in " in said
    found = qrank("search", "tea", "--db", "i.db", "-v")
    assert "qrank: loaded the reranker tiny in " in found.stderr
    assert "qrank: rerank: 2 of 2, " in found.stderr
    assert found.stdout == qrank("search", "tea", "--db", "i.db").stdout
    assert "loaded" not in qrank("search", "owls", "--db", "i.db").stderr
    assert qrank("search", "owl", "--db", "i.db", "-v", "-q").stderr == ""


def test_a_long_run_says_each_minute_how_far_it_is() -> None:
    said: list[str] = []
    seconds = 0.0
    with Lines(said.append, clock=lambda: seconds) as lines:
        lines.stage("embedding", 1000)
        for _ in range(300):
            seconds += 1
            lines.advance(2)
        lines.stage("reading", None)
        seconds += EVERY
        lines.advance()
    assert said == [
        *(f"embedding: {2 * done} of 1000" for done in (60, 120, 180, 240, 300)),
        "reading: 1",
    ]
