"""Recommended models by memory, GPU and size."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support import Run

from qrank.models.registry import Registry
from qrank.upkeep.recommend import Machine, recommend

Qrank = Callable[..., Run]
GB = 1 << 30


@pytest.mark.parametrize(
    ("machine", "embedder", "fits"),
    [
        (Machine(2, 8 * GB, ()), "e5-small", {"tiny": "cpu", "qwen3-embedding-0.6b": "slow"}),
        (Machine(2, GB, ()), "e5-small", {"e5-small": "cpu", "qwen3-embedding-0.6b": None}),
        (Machine(2, GB // 8, ()), None, {"tiny": None, "e5-small": None}),
        (
            Machine(8, 16 * GB, (("a card", 2 * GB),)),
            "qwen3-embedding-0.6b",
            {"qwen3-embedding-0.6b": "gpu", "qwen3-embedding-4b": "slow"},
        ),
        (
            Machine(8, 16 * GB, (("a card", 24 * GB), ("a small one", GB))),
            "qwen3-embedding-4b",
            {"qwen3-embedding-4b": "gpu", "tiny": "gpu"},
        ),
    ],
)
def test_the_best_that_is_quick_is_recommended(
    machine: Machine, embedder: str | None, fits: dict[str, str | None]
) -> None:
    models = [m for m in recommend(Registry(), machine)["models"] if m["kind"] == "embedder"]
    assert [m["alias"] for m in models if m["recommended"]] == ([embedder] if embedder else [])
    assert {m["alias"]: m["fits"] for m in models if m["alias"] in fits} == fits


def test_it_is_said_to_people_and_scripts(qrank: Qrank) -> None:
    told = qrank("models", "recommend", "--json").json()
    assert told["machine"]["memory_bytes"] > 0
    listed = {(m["alias"], m["kind"]): m for m in told["models"]}
    e5 = listed["e5-small", "embedder"]
    assert (e5["installed"], e5["command"]) == (False, "qrank models pull e5-small")
    assert e5["download_bytes"] == 91_165_692
    assert all(m["brings"] for m in told["models"])
    text = qrank("models", "recommend").stdout
    assert "e5-small (embedder): meaning, paraphrases" in text
    assert "91.2 MB to download" in text
    assert qrank("models", "pull").stdout == text  # without a name it offers the same
    assert qrank("models", "pull", "--json").json() == told
