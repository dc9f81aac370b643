"""Models load in the background, in parallel to each other and to BM25; results stay the same."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Run, complaint

from qrank import Index
from qrank.errors import ModelError
from qrank.inference.shared import Shared
from qrank.llama.gguf import sha256
from qrank.models.registry import Registry, Role
from qrank.progress import Silent
from qrank.searching.time_limit import FEWEST, USUAL_SIZE
from qrank.store.cache import Cache

Qrank = Callable[..., Run]
QUERY = "how long can a sourdough starter be kept in the fridge"
LIMIT = 120.0  # seconds, after which something hangs


class Held:
    """A model that is there when it is let go."""

    decoded = 0

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_who_uses_a_model_that_loads_waits_for_it() -> None:
    loads: list[Held] = []
    let_go = threading.Event()

    def load() -> Held:
        assert let_go.wait(LIMIT)
        loads.append(Held())
        return loads[-1]

    shared = Shared(load)
    shared.begin()
    shared.begin()
    let_go.set()
    with shared.use() as model:
        assert loads == [model]
    shared.begin()
    shared.give_up()
    assert len(loads) == 1
    assert loads[0].closed


def test_an_error_of_loading_ahead_is_raised_to_who_uses_the_model() -> None:
    tries: list[str] = []

    def load() -> Held:
        tries.append(threading.current_thread().name)
        raise ModelError("no such model")

    shared = Shared(load)
    shared.begin()
    with pytest.raises(ModelError, match="no such model"), shared.use():
        pass
    assert tries[-1] == threading.current_thread().name


def test_a_model_that_was_given_up_is_not_loaded_ahead() -> None:
    shared = Shared(Held)
    shared.give_up()
    shared.begin()
    for thread in threading.enumerate():
        if thread.name == "qrank-load":
            thread.join(LIMIT)
    assert shared._model is None


def test_loading_imports_nothing_that_only_chats_need() -> None:
    script = (
        "import sys\n"
        "import qrank.llama.embedder, qrank.llama.devices\n"
        "print(sorted({'jinja2', 'diskcache', 'llama_cpp'} & sys.modules.keys()))\n"
        "from llama_cpp import Llama, llama_cpp\n"  # all of it, for who wants it
        "print(llama_cpp is qrank.llama.binding.llama, Llama.__name__)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["[]", "True Llama"]


class AtEmbedding(Silent):
    """Calls a function when the query is about to be embedded."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call

    def stage(self, name: str, total: int | None) -> None:
        if name == "embed":
            self.call()


@pytest.fixture
def opened(sample_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Index]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda: Index(sample_db)


def loaded(index: Index) -> tuple[bool, bool]:
    """Whether the embedder and the reranker are loaded, or are about to be, once that is over."""
    for thread in threading.enumerate():
        if thread.name == "qrank-load":
            thread.join(LIMIT)
    embedder, reranker = index._search_models._embedder, index._search_models._reranker
    return bool(embedder and embedder._model), bool(reranker and reranker._model)


def test_both_models_load_before_the_query_is_embedded(opened: Callable[[], Index]) -> None:
    seen: list[tuple[bool, bool]] = []
    with opened() as index:
        index.search(QUERY, progress=AtEmbedding(lambda: seen.append(loaded(index))))
    with opened() as index:  # all of it is cached now
        index.search(QUERY, progress=AtEmbedding(lambda: seen.append(loaded(index))))
        assert loaded(index) == (False, False)
    with opened() as index:
        index.search(f"{QUERY} or a cellar", rerank=False)
        assert loaded(index) == (True, False)
        index.search(f"{QUERY} or a shed", mode="bm25", rerank=False)
    assert seen == [(True, True), (False, False)]


def test_a_reranker_that_is_too_slow_is_not_loaded(opened: Callable[[], Index]) -> None:
    path = Registry().resolve(Role.reranker, "tiny").path
    assert path
    seconds = 1000.0
    for rate, wanted in ((FEWEST * USUAL_SIZE / seconds / 2, False), (1e6, True)):
        Cache().put_reading_rate(sha256(path), rate, 0.0)
        with opened() as index:
            index.search(f"{QUERY} at {rate}", answer_seconds=seconds)
            assert loaded(index) == (True, wanted)


def test_a_damaged_reranker_is_complained_of_once(
    qrank: Qrank, sample_db: Path, tmp_path: Path
) -> None:
    path = Registry().resolve(Role.reranker, "tiny").path
    assert path
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(path.read_bytes()[:500_000])
    said = complaint(qrank("search", QUERY, "--db", sample_db, "--rerank-model", damaged))
    assert str(damaged) in said


@pytest.mark.parametrize("model", ["tiny-embedding.gguf", "tiny-reranker.gguf"])
def test_ctrl_c_while_a_model_loads_ahead(
    qrank: Qrank, sample_db: Path, tmp_path: Path, model: str
) -> None:
    """It comes when the thread that loads the model opens its file."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys, threading\n"
        "def hook(event, details):\n"
        "    ahead = threading.current_thread().name == 'qrank-load'\n"
        f"    if event == 'open' and ahead and str(details[0]).endswith({model!r}) and not sent:\n"
        "        sent.append(1)\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "sent = []\n"
        "sys.addaudithook(hook)\n",
        "utf-8",
    )
    run = qrank("search", QUERY, "--db", sample_db, PYTHONPATH=str(tmp_path))
    assert (run.returncode, run.stdout) == (130, "")
    assert len(run.stderr.splitlines()) == 1
    assert run.stderr.startswith("qrank: interrupted")
