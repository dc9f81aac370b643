"""The file with the KV cache of a reranker's common prompt prefix: it does not change scores."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from support import PARITY

from qrank.llama import context_pool, prompt_cache
from qrank.llama.gguf import read_header
from qrank.llama.reranker import LlamaReranker, PromptReranker
from qrank.models.registry import Registry, Role
from qrank.settings import Placement

TINY = Registry().resolve(Role.reranker, "tiny").path
TEXTS = [f"{i} boats wait for the tide, {i * 7} carts for the road. " * (1 + i) for i in range(6)]
QUERIES = [("when do boats wait", None), ("a cart, a road", None), ("boats", "Find lists of boats")]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache files; every model counts as large here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(context_pool, "SMALL", 0)
    return tmp_path / "qrank" / "openings"


def scored(path: Path) -> tuple[list[float], int]:
    """The scores of a newly loaded model, and how many tokens it decoded."""
    with closing(LlamaReranker(read_header(path), Placement(threads=2))) as reranker:
        scores = [
            p_yes
            for query, instruction in QUERIES
            for batch in reranker.scores(query, TEXTS, instruction)
            for p_yes in batch
        ]
        return scores, reranker.decoded


@pytest.mark.parametrize("path", [TINY, PARITY / "lm.gguf", PARITY / "cls.gguf"])
def test_scores_are_bit_identical_with_and_without_the_file(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, decoded = scored(path)
    [file] = folder.iterdir()
    again, fewer = scored(path)
    assert again == fresh
    with closing(LlamaReranker(read_header(path), Placement(threads=2))) as reranker:
        assert isinstance(reranker._ranker, PromptReranker)
        length = len(reranker._ranker._common_prefix())
    assert length > 40  # the system message and the instruction
    # Only the first query of the first run decoded the prefix.
    assert decoded - fewer == length
    whole = file.read_bytes()
    for damaged in (b"", whole[:100], whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        file.write_bytes(damaged)
        assert scored(path) == (fresh, decoded)
        assert file.read_bytes() == whole
    monkeypatch.setattr(context_pool, "SMALL", 10**12)  # then there is no prompt cache
    small, _ = scored(path)
    assert small == pytest.approx(fresh, abs=2e-3)


def test_without_a_writable_folder_the_prefix_is_decoded_each_time(folder: Path) -> None:
    assert TINY
    folder.parent.mkdir(parents=True)
    folder.write_text("a file in its place")
    fresh, decoded = scored(TINY)
    assert scored(TINY) == (fresh, decoded)


def test_a_replaced_model_and_another_build_get_new_files(
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
    monkeypatch.setattr(prompt_cache, "library", lambda: "another")
    scored(copy)
    assert len(list(folder.iterdir())) == 3
    monkeypatch.setattr(prompt_cache, "MOST_FILES", 1)
    monkeypatch.setattr(prompt_cache, "library", lambda: "a third")
    scored(copy)
    assert len(list(folder.iterdir())) == 1


def test_a_small_model_writes_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TINY
    monkeypatch.setattr(context_pool, "SMALL", 10**12)
    scored(TINY)
    assert not folder.exists()
