"""Switching an index to another embedding model: the old one is used until all is embedded."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_server
import pytest
from support import COMMAND, PARITY, Run, complaint, wait_until

Qrank = Callable[..., Run]
OTHER = PARITY / "embed.gguf"
TINY = Path(__file__).parents[1] / "qrank" / "models" / "tiny" / "tiny-embedding.gguf"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder of chunks, enough for a run that can be interrupted."""
    folder = tmp_path / "notes"
    folder.mkdir()
    for i in range(300):
        (folder / f"{i}.md").write_text(f"# Note {i}\n\n" + f"About subject {i} in detail. " * 12)
    (folder / "tea.md").write_text("# Tea\n\nSteep green tea for two minutes.\n")
    return folder


def models(qrank: Qrank) -> list[dict[str, Any]]:
    held: list[dict[str, Any]] = qrank("status", "--db", "i.db", "--json").json()["models"]
    return held


def test_another_model_takes_the_place_of_the_first(qrank: Qrank, notes: Path) -> None:
    qrank("index", "notes", "--db", "i.db")
    (before,) = models(qrank)
    run = qrank("index", "notes", "--db", "i.db", "--embed-model", OTHER)
    assert run.returncode == 0
    assert "replaced tiny" in run.stderr
    (after,) = models(qrank)
    assert (after["name"], after["dims"], after["vectors"]) == (str(OTHER), 32, before["vectors"])
    assert after["sha256"] != before["sha256"]
    found = qrank("search", "green tea", "--mode", "vector", "--db", "i.db", "--json").json()
    assert found["models"]["embed"] == str(OTHER)
    again = qrank("index", "notes", "--db", "i.db", "--json").json()  # and stays with it
    assert again["embedded"] == 0
    assert len(models(qrank)) == 1


def test_a_search_insisting_on_another_model_is_refused(qrank: Qrank, notes: Path) -> None:
    qrank("index", notes / "tea.md", "--db", "i.db")
    line = complaint(qrank("search", "tea", "--embed-model", OTHER, "--db", "i.db"))
    assert "was made with the embedding model tiny" in line
    assert f"qrank index --embed-model {OTHER}" in line
    # A preset is no insisting: the index is searched with its own.
    found = qrank("search", "tea", "--db", "i.db", "--json", QRANK_EMBED_MODEL=str(OTHER)).json()
    assert found["models"]["embed"] == "tiny"


def test_until_the_switch_the_index_is_searched_with_the_first(
    qrank: Qrank, notes: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    qrank("index", "notes", "--db", "i.db", "--embed-model", OTHER)
    wanted = qrank("search", "green tea", "--mode", "vector", "--db", "i.db", "--json").json()
    with model_server.running(answers=2) as server:
        words = [COMMAND, "index", "notes", "--db", "i.db", "--embed-model", server.url]
        run = subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
        wait_until(lambda: len(models(qrank)) == 2, run)
        run.send_signal(2)
        run.communicate(timeout=120)
        assert run.returncode == 130
        server.answers = None
        server.go_on.set()
        assert_the_first_is_used_until_the_switch(qrank, wanted, server.url)


def assert_the_first_is_used_until_the_switch(qrank: Qrank, wanted: Any, other: str) -> None:
    first, second = models(qrank)
    assert first["name"] == str(OTHER)
    assert first["vectors"] == 301
    assert 0 <= second["vectors"] < 301
    found = qrank("search", "green tea", "--mode", "vector", "--db", "i.db", "--json").json()
    assert found["results"] == wanted["results"]
    # A run that names no model keeps to the first and leaves what was begun.
    assert qrank("index", "notes", "--db", "i.db", "--json").json()["embedded"] == 0
    assert len(models(qrank)) == 2
    done = qrank("index", "notes", "--db", "i.db", "--embed-model", other, "--json").json()
    assert done["embedded"] == 301 - second["vectors"]
    (only,) = models(qrank)
    assert (only["name"], only["vectors"]) == (other, 301)


def test_a_bad_new_model_leaves_the_index_as_it_was(qrank: Qrank, notes: Path) -> None:
    qrank("index", notes / "tea.md", "--db", "i.db")
    before = models(qrank)
    for name in (PARITY / "lm.gguf", "./nowhere.gguf", "http://127.0.0.1:9#x"):
        complaint(qrank("index", notes / "tea.md", "--db", "i.db", "--embed-model", name))
    assert models(qrank) == before
    assert qrank("search", "tea", "--db", "i.db").returncode == 0


@pytest.mark.parametrize("field", ["sha256", "prompt_version"])
def test_the_vectors_of_an_older_release_are_renewed(
    qrank: Qrank, notes: Path, tmp_path: Path, field: str
) -> None:
    """An index made with another tiny, or with other prompts: words still find, and the next
    indexing renews the vectors."""
    qrank("index", notes / "tea.md", "--db", "i.db")
    with sqlite3.connect(tmp_path / "i.db") as db:
        value = "0" * 64 if field == "sha256" else 0
        db.execute(f"UPDATE model SET {field} = ?", (value,))
    db.close()
    run = qrank("search", "green tea", "--db", "i.db", "--json")
    assert run.json()["models"]["embed"] is None
    assert run.json()["results"]
    assert "run qrank index to recompute them" in run.stderr
    line = complaint(qrank("search", "tea", "--mode", "vector", "--db", "i.db"))
    assert "run qrank index to recompute them" in line
    renewed = qrank("index", notes / "tea.md", "--db", "i.db", "--json").json()
    assert renewed["embedded"] == renewed["chunks"]
    assert len(models(qrank)) == 1
    found = qrank("search", "green tea", "--db", "i.db", "--json")
    assert (found.json()["models"]["embed"], found.stderr) == ("tiny", "")


def test_a_model_file_that_became_another_is_told(
    qrank: Qrank, notes: Path, tmp_path: Path
) -> None:
    shutil.copy(OTHER, tmp_path / "mine.gguf")
    qrank("index", notes / "tea.md", "--db", "i.db", "--embed-model", "./mine.gguf")
    shutil.copy(TINY, tmp_path / "mine.gguf")
    for command in (("index", notes / "tea.md"), ("search", "tea")):
        assert "is no longer the model" in complaint(qrank(*command, "--db", "i.db"))
    words = ("index", notes / "tea.md", "--db", "i.db", "--embed-model", "./mine.gguf")
    assert qrank(*words, "--json").json()["embedded"] == 1
    assert qrank("search", "tea", "--db", "i.db").returncode == 0
