"""The inference cache: repeated searches need no inference, and answers stay the same."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from support import PARITY, Run, complaint, read_only

from qrank.store import open_store
from qrank.store.cache import Cache

Qrank = Callable[..., Run]
WORDS = ("search", "who may be on the hill alone at night", "--jsonl", "--db")


@pytest.fixture
def db(sample_db: Path, tmp_path: Path) -> Path:
    """An index of the sample of this test's own; the cache is in this test's home."""
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


def test_a_repeated_search_loads_no_model(
    qrank: Qrank, db: Path, environment: dict[str, str]
) -> None:
    qrank(*WORDS, db)
    script = (
        "import sys; from qrank.__main__ import main\n"
        f"sys.argv = ['qrank', *{[str(word) for word in (*WORDS, db)]!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('llama_cpp' in sys.modules, file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    assert run.stderr.splitlines()[-1] == "False"
    assert '"cached": true' in run.stdout


def test_a_model_file_that_became_another_is_hashed_again(
    qrank: Qrank, db: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.gguf"
    shutil.copy(PARITY / "lm.gguf", model)
    words = (*WORDS, db, "--rerank-model", "./model.gguf")
    qrank(*words)
    assert cached(qrank(*words).lines()) == {True}
    info = model.stat()
    model.write_bytes(bytes(info.st_size))
    os.utime(model, ns=(info.st_atime_ns, info.st_mtime_ns))
    complaint(qrank(*words))


def test_the_cache_can_be_cleared_and_is_bounded(
    qrank: Qrank, db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qrank(*WORDS, db)
    assert qrank("status", "--db", db, "--json").json()["cached"] == 31  # 30 scores, one vector
    assert qrank("status", "--clear-cache", "--db", db, "--json").json()["cached"] == 0
    assert cached(qrank(*WORDS, db).lines()) == {False}
    monkeypatch.setattr("qrank.store.cache.MOST_ANSWERS", 10)
    cache = Cache(tmp_path / "cache.db")
    assert (cache.count(), cache.get([b"x"])) == (0, {})
    cache.put({bytes([i]) * 16: b"x" for i in range(20)})
    assert cache.count() == 10
    assert cache.get([bytes([19]) * 16, bytes([0]) * 16]) == {bytes([19]) * 16: b"x"}


def test_indexes_that_can_t_be_written_share_the_cache(qrank: Qrank, db: Path) -> None:
    with read_only(db.parent) as prefix:
        assert cached(qrank(*WORDS, db, prefix=prefix).lines()) == {False}
        assert cached(qrank(*WORDS, db, prefix=prefix).lines()) == {True}
    with open_store(db, write=True) as writer, writer.transaction():
        assert cached(qrank(*WORDS, db).lines()) == {True}


@pytest.mark.parametrize("broken", ["garbage", "folder", "read-only", "other tables", "locked"])
def test_a_cache_that_can_t_be_used_costs_nothing_but_time(
    qrank: Qrank, db: Path, environment: dict[str, str], broken: str
) -> None:
    place = Path(environment["HOME"]) / ".cache" / "qrank"
    place.mkdir(parents=True)
    file = place / "cache.db"
    prefix: list[str] = []
    with ExitStack() as stack:
        if broken == "garbage":
            file.write_bytes(b"garbage" * 1000)
        elif broken == "folder":
            file.mkdir()
        elif broken == "read-only":
            prefix = stack.enter_context(read_only(place))
        else:
            held = stack.enter_context(closing(sqlite3.connect(file, isolation_level=None)))
            held.execute("CREATE TABLE answer (other TEXT)")
            if broken == "locked":
                held.execute("BEGIN EXCLUSIVE")
        runs = [qrank(*WORDS, db, prefix=prefix) for _ in range(3)]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert "cache" not in "".join(run.stderr for run in runs)
    assert cached(runs[0].lines()) == {False}
    # What held nothing of worth is made anew; what can't be written stays unused.
    assert cached(runs[2].lines()) == {broken == "garbage"}
