"""Two runs of qrank index on one index at once: no text is embedded twice, and none is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import model_server
import pytest
from model_server import ModelServer
from support import COMMAND, Run, wait_until

import qrank
from qrank.model_servers.embedder import IN_FLIGHT, PROBE
from qrank.progress import Silent
from qrank.store import open_store
from qrank.store.interface import Store

TEXTS = 600
Start = Callable[[], subprocess.Popen[str]]


class Gate:
    """Holds a server's answers to groups of texts back, all or the first so many."""

    def __init__(self, most: int = TEXTS) -> None:
        self.opened = threading.Event()
        self.holds = 0  # answers
        self._left = most
        self._lock = threading.Lock()

    def __call__(self, answer: Any) -> Any:
        with self._lock:
            held = self._left > 0 and len(answer["data"]) > 1
            self._left -= held
            self.holds += held
        if held:
            self.opened.wait(300)
        return answer


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


@pytest.fixture
def server(gate: Gate) -> Iterator[ModelServer]:
    with model_server.running(spoil=gate) as running:
        yield running
        gate.opened.set()


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str], server: ModelServer) -> Iterator[Start]:
    """Starts a run on a folder of TEXTS notes, with the server as its model."""
    notes = tmp_path / "notes"
    notes.mkdir()
    for i in range(TEXTS):
        (notes / f"{i}.md").write_text(f"Note {i} is about subject {i}.\n")
    words = [COMMAND, "index", "notes", "--db", "i.db", "--embed-model", server.url, "--json"]
    runs: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        run = subprocess.Popen(words, cwd=tmp_path, env=environment, text=True, **pipes)
        runs.append(run)
        return run

    yield start
    for run in runs:
        run.kill()
        run.communicate()


def groups(server: ModelServer) -> list[list[str]]:
    """The groups of texts that the server was sent, without its probes."""
    bodies = (body for path, body in server.asked if path == "/v1/embeddings")
    return [body["input"] for body in bodies if body["input"] != [PROBE]]


def sent(server: ModelServer) -> Counter[str]:
    return Counter(text for group in groups(server) for text in group)


def embedded(run: subprocess.Popen[str]) -> int:
    out, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors
    count: int = json.loads(out)["embedded"]
    return count


def held_vectors(folder: Path) -> int:
    with open_store(folder / "i.db") as store:
        count: int = store.status()["models"][0]["vectors"]
        return count


def test_two_runs_share_the_texts(
    tmp_path: Path, start: Start, server: ModelServer, gate: Gate
) -> None:
    runs = [start(), start()]
    # One run alone asks for no more than IN_FLIGHT groups at once: now both are at it.
    wait_until(lambda: len(groups(server)) == 2 * IN_FLIGHT, runs[0])
    gate.opened.set()
    counts = [embedded(run) for run in runs]
    assert sum(counts) == TEXTS
    assert min(counts) > 0
    assert len(sent(server)) == TEXTS
    assert set(sent(server).values()) == {1}
    assert held_vectors(tmp_path) == TEXTS
    assert not (tmp_path / "i.db-claims").exists()


def test_what_a_killed_run_had_claimed_is_embedded_by_the_other(
    tmp_path: Path, start: Start, server: ModelServer, gate: Gate
) -> None:
    killed = start()
    wait_until(lambda: gate.holds == IN_FLIGHT, killed)
    server.spoil = lambda answer: answer  # only the first run waits for answers
    other = start()
    assert other.stderr
    assert "waiting for another qrank" in other.stderr.readline()
    assert len(sent(server)) < TEXTS
    assert set(sent(server).values()) == {1}
    killed.kill()
    assert embedded(other) == TEXTS
    assert len(sent(server)) == TEXTS
    assert held_vectors(tmp_path) == TEXTS


def test_an_interrupted_run_leaves_its_share_to_the_other(
    tmp_path: Path, start: Start, server: ModelServer, gate: Gate
) -> None:
    interrupted = start()
    wait_until(lambda: gate.holds == IN_FLIGHT, interrupted)
    server.spoil = lambda answer: answer
    other = start()
    assert other.stderr
    assert "waiting for another qrank" in other.stderr.readline()
    interrupted.send_signal(2)
    interrupted.communicate(timeout=120)
    assert interrupted.returncode == 130
    assert embedded(other) == TEXTS


def test_threads_of_one_process_embed_nothing_twice(tmp_path: Path) -> None:
    for i in range(200):
        (tmp_path / f"{i}.md").write_text(f"Note {i} is about subject {i}.\n")

    def add() -> int:
        with qrank.Index(tmp_path / "i.db", embed_model="tiny") as index:
            return index.add(tmp_path).embedded

    with ThreadPoolExecutor(2) as threads:
        counts = [job.result() for job in [threads.submit(add), threads.submit(add)]]
    assert sum(counts) == 200


def test_a_run_whose_model_another_run_replaced_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Steep green tea for two minutes.\n")
    path = tmp_path / "i.db"

    class OtherRun(Silent):
        """Removes the model while its first vectors are made."""

        def stage(self, name: str, total: int | None) -> None:
            if name == "embedding":
                with open_store(path, write=True) as store, store.transaction():
                    store.remove_model(store.models()[0].id)

    with (
        qrank.Index(path, embed_model="tiny") as index,
        pytest.raises(qrank.IndexFileError, match="moved to another embedding model"),
    ):
        index.add(tmp_path / "a.md", progress=OtherRun())
    with open_store(path) as store:
        assert all(check.status == "ok" for check in store.check())


@pytest.mark.parametrize("what", ["a folder", "a link"])
def test_where_no_claim_can_be_made_a_run_goes_on_alone(
    qrank: Callable[..., Run], tmp_path: Path, what: str
) -> None:
    (tmp_path / "a.md").write_text("Steep green tea for two minutes.\n")
    claims = tmp_path / "i.db-claims"
    if what == "a folder":
        claims.mkdir()
    else:
        claims.symlink_to(tmp_path / "a.md")
    assert qrank("index", "a.md", "--db", "i.db", "--json").json()["embedded"] == 1
    assert claims.is_dir() or claims.is_symlink()
    assert (tmp_path / "a.md").read_text() == "Steep green tea for two minutes.\n"


def test_claims_are_of_one_store_at_a_time(tmp_path: Path) -> None:
    def claimed(store: Store) -> list[int]:
        with store.claims() as claims:
            ids = claims.take([1, 2, 3])
            claims.release([2])
            return ids

    with open_store(tmp_path / "i.db", write=True) as store:
        with store.claims() as claims:
            assert claims.take([1, 2]) == [1, 2]
            script = (
                "import sys, pathlib; from qrank.store import open_store\n"
                "with open_store(pathlib.Path(sys.argv[1])) as store, store.claims() as claims:\n"
                "    print(claims.take([1, 2, 3]))\n"
            )
            assert other_process(script, tmp_path / "i.db") == "[3]\n"
            claims.release([2])
            assert other_process(script, tmp_path / "i.db") == "[2, 3]\n"
        assert claimed(store) == [1, 2, 3]
    assert not (tmp_path / "i.db-claims").exists()


def other_process(script: str, *arguments: object) -> str:
    words = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
