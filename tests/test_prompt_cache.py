"""What all prompts of a large reranker begin with is kept in a file, and changes no score."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from support import PARITY

from qrank.llama import lanes, opening
from qrank.llama.gguf import read_header
from qrank.llama.reranker import LlamaReranker, PromptReranker
from qrank.models.registry import Registry, Role
from qrank.settings import Placement

TINY = Registry().resolve(Role.reranker, "tiny").path
TEXTS = [f"{i} boats wait for the tide, {i * 7} carts for the road. " * (1 + i) for i in range(6)]
QUERIES = [("when do boats wait", None), ("a cart, a road", None), ("boats", "Find lists of boats")]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files are kept; every model is a large one here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(lanes, "SMALL", 0)
    return tmp_path / "qrank" / "openings"


def scored(path: Path) -> tuple[list[float], int]:
    """P(relevant) by a model that is loaded anew, and how many tokens it computed."""
    with closing(LlamaReranker(read_header(path), Placement(threads=2))) as reranker:
        given = [
            p_yes
            for query, instruction in QUERIES
            for batch in reranker.scores(query, TEXTS, instruction)
            for p_yes in batch
        ]
        return given, reranker.decoded


@pytest.mark.parametrize("path", [TINY, PARITY / "lm.gguf", PARITY / "cls.gguf"])
def test_scores_are_the_same_to_the_bit_whether_or_not_a_file_has_it(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, computed = scored(path)
    [held] = folder.iterdir()
    again, fewer = scored(path)
    assert again == fresh
    with closing(LlamaReranker(read_header(path), Placement(threads=2))) as reranker:
        assert isinstance(reranker._ranker, PromptReranker)
        known = len(reranker._ranker._of_all_queries())
    assert known > 40  # the system's part and the instruction's
    # The first query of the first run computed it, and no other.
    assert computed - fewer == known
    whole = held.read_bytes()
    for damaged in (b"", whole[:100], whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        held.write_bytes(damaged)
        assert scored(path) == (fresh, computed)
        assert held.read_bytes() == whole
    monkeypatch.setattr(lanes, "SMALL", 10**12)  # without it
    small, _ = scored(path)
    assert small == pytest.approx(fresh, abs=2e-3)


def test_what_can_t_be_kept_is_computed(folder: Path) -> None:
    assert TINY
    folder.parent.mkdir(parents=True)
    folder.write_text("a file in its place")
    fresh, computed = scored(TINY)
    assert scored(TINY) == (fresh, computed)


def test_a_replaced_model_and_another_build_have_files_of_their_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TINY
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(TINY.read_bytes())
    scored(copy)
    copy.unlink()
    copy.write_bytes(TINY.read_bytes())
    scored(copy)
    assert len(list(folder.iterdir())) == 2
    monkeypatch.setattr(opening, "library", lambda: "another")
    scored(copy)
    assert len(list(folder.iterdir())) == 3
    monkeypatch.setattr(opening, "MOST_FILES", 1)
    monkeypatch.setattr(opening, "library", lambda: "a third")
    scored(copy)
    assert len(list(folder.iterdir())) == 1


def test_a_small_model_keeps_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TINY
    monkeypatch.setattr(lanes, "SMALL", 10**12)
    scored(TINY)
    assert not folder.exists()
