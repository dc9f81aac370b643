"""What was asked before costs no inference, and the cache changes no answer."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import PARITY, Run, read_only

from qrank.store import Store

Qrank = Callable[..., Run]
WORDS = ("search", "who may be on the hill alone at night", "--jsonl", "--db")


@pytest.fixture
def db(sample_db: Path, tmp_path: Path) -> Path:
    """An index of the sample of this test's own, nothing cached."""
    with Store(sample_db, write=True) as store:
        store.clear_cache()
    return Path(shutil.copy(sample_db, tmp_path / "own.db"))


def cached(results: list[dict]) -> set[bool]:
    return {r["scores"]["rerank"]["cached"] for r in results if r["scores"]["rerank"]}


def without_cached(results: list[dict]) -> list[dict]:
    for result in results:
        if result["scores"]["rerank"]:
            del result["scores"]["rerank"]["cached"]
    return results


def test_a_repeated_or_narrowed_search_is_answered_from_the_cache(qrank: Qrank, db: Path) -> None:
    first = qrank(*WORDS, db).lines()
    again = qrank(*WORDS, db).lines()
    assert (cached(first), cached(again)) == ({False}, {True})
    assert without_cached(first) == without_cached(again)
    narrower = qrank(*WORDS, db, "-n", "3", "--candidates", "10").lines()
    assert cached(narrower) == {True}
    wider = qrank(*WORDS, db, "-n", "40", "--candidates", "40").lines()
    assert cached(wider) == {True, False}


def test_another_model_query_or_file_is_asked_anew(qrank: Qrank, db: Path) -> None:
    qrank(*WORDS, db)
    assert cached(qrank(*WORDS, db, "--rerank-model", PARITY / "lm.gguf").lines()) == {False}
    assert cached(qrank(*WORDS, db, "--rerank-model", PARITY / "cls.gguf").lines()) == {False}
    assert cached(qrank(*WORDS, db, "--rerank-model", PARITY / "lm.gguf").lines()) == {True}
    other = ("search", "who may be on the hill alone by night", "--jsonl", "--db", db)
    assert cached(qrank(*other).lines()) == {False}


def test_a_repeated_search_needs_no_model_in_memory(qrank: Qrank, db: Path, tmp_path: Path) -> None:
    """The reranker's file is replaced by one that can't be loaded, with the same size and time."""
    model = tmp_path / "model.gguf"
    shutil.copy(PARITY / "lm.gguf", model)
    words = (*WORDS, db, "--rerank-model", "./model.gguf")
    first = qrank(*words).lines()
    info = model.stat()
    model.write_bytes(bytes(info.st_size))
    os.utime(model, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert without_cached(qrank(*words).lines()) == without_cached(first)


def test_the_cache_can_be_cleared_and_is_bounded(
    qrank: Qrank, db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qrank(*WORDS, db)
    assert qrank("status", "--db", db, "--json").json()["cached"] == 31  # 30 scores, one vector
    assert qrank("status", "--clear-cache", "--db", db, "--json").json()["cached"] == 0
    assert cached(qrank(*WORDS, db).lines()) == {False}
    monkeypatch.setattr("qrank.store.saved.CACHE_ROWS", 10)
    with Store(db) as store:
        store.remember({bytes([i]) * 16: b"x" for i in range(20)})
        assert store.status()["cached"] == 10
        assert store.recall([bytes([19]) * 16, bytes([0]) * 16]) == {bytes([19]) * 16: b"x"}


def test_a_read_only_index_is_searched_without(qrank: Qrank, db: Path) -> None:
    with read_only(db.parent) as prefix:
        for _ in range(2):
            assert cached(qrank(*WORDS, db, prefix=prefix).lines()) == {False}


def test_an_index_in_use_is_searched_without(qrank: Qrank, db: Path) -> None:
    with Store(db, write=True) as writer, writer.transaction():
        assert cached(qrank(*WORDS, db).lines()) == {False}
        assert cached(qrank(*WORDS, db).lines()) == {False}
