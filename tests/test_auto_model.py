"""The model `auto`: the best one installed; messages about it; when an index switches to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import e5s_files
import pytest
from support import Run

Qrank = Callable[..., Run]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("# Tides\n\nThe moon moves the sea.\n", "utf-8")
    return folder


def model_of(qrank: Qrank) -> str:
    return str(qrank("status", "--json").json()["models"][0]["name"])


def test_the_best_installed_is_taken_and_said(
    qrank: Qrank, notes: Path, environment: dict[str, str]
) -> None:
    first = qrank("index", notes)
    assert first.stderr.splitlines() == [
        "qrank: embedded with tiny; e5-small is better: qrank models pull e5-small (91 MB)"
    ]
    (notes / "b.md").write_text("Bread dough.\n", "utf-8")
    assert qrank("index", notes).stderr == ""  # said once
    told = qrank("status", "--json").json()["in_use"]["embedder"]
    assert (told["model"], told["why"]) == ("tiny", "the index was made with it")
    assert (told["better"]["model"], told["better"]["installed"]) == ("e5-small", False)
    e5s_files.install(Path(environment["HOME"]))
    listed = {(m["alias"], m["kind"]): m for m in qrank("models", "list", "--json").json()}
    assert [key for key, model in listed.items() if model["auto"]] == [
        ("e5-small", "embedder"),
        ("tiny", "reranker"),
    ]
    assert "yes, auto" in qrank("models", "list").stdout
    both = qrank("models", "show", "auto", "--json").json()
    assert {role: model["alias"] for role, model in both.items()} == {
        "embedder": "e5-small",
        "reranker": "tiny",
    }
    assert "about 100 languages" in qrank("models", "show", "auto", "--role", "embedder").stdout
    out = qrank("status").stdout
    assert "embedder     tiny (the index was made with it)" in out
    assert "e5-small is installed and better: qrank index --embed-model e5-small FOLDER" in out
    assert "reranker     tiny (auto: the best that is installed)" in out


def test_an_index_moves_only_when_it_is_typed(
    qrank: Qrank, notes: Path, environment: dict[str, str]
) -> None:
    assert qrank("index", notes).returncode == 0
    e5s_files.install(Path(environment["HOME"]))
    config = Path(environment["HOME"]) / ".config" / "qrank" / "config.toml"
    config.parent.mkdir(parents=True)
    assert qrank("index", notes).returncode == 0
    assert qrank("index", notes, QRANK_EMBED_MODEL="auto").returncode == 0
    config.write_text('embed_model = "auto"\n', "utf-8")
    assert qrank("index", notes).returncode == 0
    assert qrank("search", "sea", "--embed-model", "auto").returncode == 0
    assert model_of(qrank) == "tiny"
    moved = qrank("index", notes, "--embed-model", "auto")
    assert "e5-small replaced tiny" in moved.stderr
    assert model_of(qrank) == "e5-small"
    found = qrank("search", "sea", "--json").json()
    assert found["models"] == {"embed": "e5-small", "rerank": None}  # tiny does not help it
    for words in (["--rerank"], ["--rerank-model", "tiny"]):
        assert qrank("search", "sea", *words, "--json").json()["models"]["rerank"] == "tiny"
    assert "run only with --rerank: it does not help behind e5-small" in qrank("status").stdout
    # Typed again, and as a default: nothing is left to do.
    assert qrank("index", notes, "--embed-model", "auto", "--json").json()["embedded"] == 0
    assert qrank("index", notes, "--json").json()["embedded"] == 0


def test_a_new_index_is_made_with_it(
    qrank: Qrank, notes: Path, environment: dict[str, str]
) -> None:
    e5s_files.install(Path(environment["HOME"]))
    run = qrank("index", notes)
    assert "embedded with e5-small; qrank models recommend shows what fits" in run.stderr
    assert model_of(qrank) == "e5-small"
    told = qrank("models", "pull", "e5-small")
    assert "already installed" in told.stdout
    assert told.stderr == "qrank: next: qrank index --embed-model e5-small FOLDER\n"
