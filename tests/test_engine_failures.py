"""A search engine with three nodes, some of which fail: acknowledged writes are kept, and searches
go on. These tests take minutes: they run with QRANK_TEST_FAILURES=1."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import engine
import pytest
from support import COMMAND, Run, clean_environment, complaint, wait_until
from test_store import add

from qrank.store import Layout, create_store, open_store
from qrank.store.filters import EVERYTHING
from qrank.store.interface import Store
from qrank.urls import index_place

NODES = 3
GIB = 1 << 30
ASKED_FOR = bool(os.environ.get("QRANK_TEST_FAILURES"))  # read before conftest.py clears it


@dataclass
class Cluster:
    process: subprocess.Popen[str]
    folder: Path
    addresses: list[str]

    def signal(self, node: int, number: signal.Signals) -> None:
        os.kill(int((self.folder / f"node-{node}.pid").read_text()), number)

    def start_again(self) -> None:
        """Start the nodes that were killed, and wait until all copies of all shards are there."""
        self.process.send_signal(signal.SIGHUP)
        self.wait(f"wait_for_nodes={NODES}&wait_for_status=green")

    def wait(self, what: str) -> None:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            try:
                path = f"{self.addresses[0]}/_cluster/health?{what}&timeout=10s"
                with urlopen(path, timeout=20) as answer:
                    if not json.load(answer)["timed_out"]:
                        return
            except OSError:
                pass
            time.sleep(0.5)
        raise AssertionError(f"the cluster does not reach {what}")

    def set(self, **settings: object) -> None:
        body = json.dumps({"transient": settings}).encode()
        head = {"Content-Type": "application/json"}
        urlopen(Request(f"{self.addresses[0]}/_cluster/settings", body, head, method="PUT")).close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if not ASKED_FOR:
        pytest.skip("takes minutes; QRANK_TEST_FAILURES=1 runs it")
    for name in ("java", "mvn"):
        if shutil.which(name) is None:
            pytest.skip(f"a search engine can't be started here: no {name}")
    if os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < 4 * GIB:
        pytest.skip("three nodes of a search engine need 4 GB of memory")
    folder = Path(tempfile.mkdtemp(prefix="qrank-cluster-"))
    try:
        process, addresses = engine.start(NODES, folder)
    except engine.NoEngineError as error:
        pytest.skip(f"a search engine can't be started here: {error}")
    yield Cluster(process, folder, addresses)
    engine.stop(process, folder)


@pytest.fixture
def url(cluster: Cluster, tmp_path: Path) -> str:
    """The URL of an empty index, at the first node, which no test ends."""
    made = f"{cluster.addresses[0]}/{tmp_path.name[:40].lower().replace('_', '-')}"
    create_store(index_place(made), Layout(shards=3, replicas=1))
    cluster.wait("wait_for_status=green")
    return made


def count(store: Store) -> int:
    """The chunks that a search finds, of those that add_many put in."""
    return len(store.bm25(["word"], 9999, EVERYTHING))


def test_a_node_is_killed_during_indexing_and_searching(
    cluster: Cluster, url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for i in range(600):
        (folder / f"{i}.md").write_text(f"# Title {i}\n\nword number{i}\n")
    with closing(open_store(index_place(url), write=True)) as store:
        add(store, "/before", ["word"])
        run = subprocess.Popen(
            [COMMAND, "index", folder, "--no-embed", "--collection", "many", "--db", url],
            env=clean_environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while count(store) < 2 and run.poll() is None:
            time.sleep(0.05)
        cluster.signal(3, signal.SIGKILL)
        while run.poll() is None:
            assert count(store) >= 1  # raises when a search does not go on
            time.sleep(0.2)
        said = run.communicate()[0]
        assert run.returncode == 0, said
        wait_until(lambda: count(store) == 601)  # what a reader sees may be a second old
    cluster.start_again()
    with closing(open_store(index_place(url))) as store:
        assert count(store) == 601
        assert [check.status for check in store.check()] == ["ok"] * 5


def test_a_node_that_hangs_is_left_behind(cluster: Cluster, url: str) -> None:
    with closing(open_store(index_place(url), write=True)) as store:
        add(store, "/a", ["word"])
        cluster.signal(2, signal.SIGSTOP)
        try:
            add(store, "/b", ["word"])
            assert count(store) == 2
        finally:
            cluster.signal(2, signal.SIGCONT)
        cluster.wait(f"wait_for_nodes={NODES}&wait_for_status=green")
        assert count(store) == 2


def test_all_nodes_start_again(cluster: Cluster, url: str) -> None:
    with closing(open_store(index_place(url), write=True)) as store:
        add(store, "/a", ["word"])
    for node in range(NODES):
        cluster.signal(node + 1, signal.SIGKILL)
    cluster.start_again()
    with closing(open_store(index_place(url))) as store:
        assert count(store) == 1


def test_a_disk_that_is_too_full_is_said(
    cluster: Cluster, url: str, tmp_path: Path, qrank: Callable[..., Run]
) -> None:
    (tmp_path / "a.md").write_text("word\n")
    words = ("index", "a.md", "--no-embed", "--db", url)
    assert qrank(*words).returncode == 0
    disk = "cluster.routing.allocation.disk"
    full = {"low": "0.1%", "high": "0.2%", "flood_stage": "0.3%"}
    cluster.set(
        **{f"{disk}.threshold_enabled": True, "cluster.info.update.interval": "10s"},
        **{f"{disk}.watermark.{name}": value for name, value in full.items()},
    )
    try:
        deadline = time.monotonic() + 120
        while (run := qrank(*words)).returncode == 0 and time.monotonic() < deadline:
            (tmp_path / "a.md").write_text(f"word {time.monotonic()}\n")
            time.sleep(1)
        assert "too full" in complaint(run)
        assert qrank("search", "word", "--mode", "bm25", "--db", url).returncode == 0
    finally:
        cluster.set(**{f"{disk}.{name}": None for name in ("threshold_enabled", "watermark.*")})
        cluster.set(**{"cluster.info.update.interval": None, f"{disk}.threshold_enabled": False})
