"""Defaults of searches in config, config list, and the advice for a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import Run, complaint

from qrank.config import KEYS, PROJECT_KEYS

Qrank = Callable[..., Run]


@pytest.fixture
def notes(qrank: Qrank, tmp_path: Path) -> Path:
    """A folder with an index of three files, without vectors."""
    for name in ("a.md", "b.md", "c.md"):
        (tmp_path / name).write_text(f"green tea {name}\n", "utf-8")
    qrank("init")
    qrank("index", "a.md", "b.md", "c.md", "--no-embed")
    return tmp_path


def test_a_search_is_preset(qrank: Qrank, notes: Path) -> None:
    words = ("search", "tea", "--json")
    assert qrank(*words).json()["mode"] == "hybrid"
    for key, value in (("limit", "2"), ("mode", "bm25"), ("candidates", "7"), ("budget", "1.5")):
        assert qrank("config", "set", key, value).returncode == 0
    found = qrank(*words).json()
    assert (found["mode"], len(found["results"])) == ("bm25", 2)
    # A flag beats the environment, which beats the project, which beats the user's file.
    qrank("config", "set", "limit", "1", "--project")
    assert len(qrank(*words).json()["results"]) == 1
    assert len(qrank(*words, QRANK_LIMIT="3").json()["results"]) == 3
    assert len(qrank(*words, "-n", "2", QRANK_LIMIT="3").json()["results"]) == 2
    assert qrank(*words, "--mode", "hybrid").json()["mode"] == "hybrid"
    assert len(qrank("similar", "a.md", "--mode", "bm25", "--jsonl").lines()) == 1


def test_a_budget_and_candidates_are_preset(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", "what no other test has asked yet, and cached", "--db", sample_db, "--json")
    assert qrank(*words, QRANK_CANDIDATES="3").json()["reranked"] == 3
    cut = qrank(*words, QRANK_BUDGET="0").json()
    assert cut["truncated"] is True


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("limit", "0"),
        ("limit", "ten"),
        ("mode", "fuzzy"),
        ("candidates", "-1"),
        ("budget", "nan"),
        ("budget", "soon"),
        ("threads", "0"),
        ("color", "blue"),
    ],
)
def test_a_preset_that_can_t_be_is_refused(qrank: Qrank, notes: Path, key: str, value: str) -> None:
    said = complaint(qrank("config", "set", "--", key, value))
    assert key in said
    assert repr(value) in said
    words = ("search", "tea") if key != "threads" else ("embed",)
    assert repr(value) in complaint(qrank(*words, **{f"QRANK_{key.upper()}": value}))
    if key == "threads":
        assert "from 1 to 512" in complaint(qrank("embed", "--threads", value))


def test_config_list_says_where_each_value_comes_from(qrank: Qrank, notes: Path) -> None:
    qrank("config", "set", "limit", "5")
    qrank("config", "set", "mode", "bm25", "--project")
    listed = qrank("config", "list", "--json", QRANK_CANDIDATES="9").json()
    rows = {each["key"]: (each["value"], each["source"]) for each in listed["settings"]}
    assert set(rows) == set(KEYS)
    assert rows["limit"] == ("5", qrank("config", "path").stdout.strip())
    assert rows["mode"] == ("bm25", f"{notes}/.qrank/config.toml")
    assert rows["candidates"] == ("9", "QRANK_CANDIDATES")
    assert rows["color"] == ("auto", "default")
    assert rows["db"] == (f"{notes}/.qrank/index.db", "default")
    assert rows["budget"] == (None, "default")
    lines = qrank("config", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(KEYS)
    assert {"mode", "limit"} < set(PROJECT_KEYS)


def test_the_advice_without_an_index_fits_the_folder(qrank: Qrank, tmp_path: Path) -> None:
    assert "create it with: qrank index PATH" in complaint(qrank("search", "tea"))
    (tmp_path / ".git").mkdir()
    below = tmp_path / "src"
    below.mkdir()
    said = complaint(qrank("search", "tea", cwd=below))
    assert said.endswith("make one for this repository with: qrank init && qrank index .")
    assert "qrank init" not in complaint(qrank("search", "tea", "--db", "i.db", cwd=below))


def test_a_second_argument_of_a_search_is_a_path(qrank: Qrank, notes: Path) -> None:
    (notes / "my notes").mkdir()
    assert "to search only there use --path a.md " in complaint(qrank("search", "tea", "a.md"))
    assert "use --path 'my notes' " in complaint(qrank("search", "tea", "my notes"))
    assert "quote arguments" in complaint(qrank("search", "green", "tea"))
