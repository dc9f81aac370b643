"""Many clients at once: searches, and thousands of idle connections; an index that can't be
written; connecting in a thread."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support import COMMAND, Run, read_only, wait_until
from warm_process import status, tide_index, warm_process

from qrank import models
from qrank.serve import places
from qrank.serve.client import CONTROL

if os.name == "nt":
    pytest.skip("it does not run on Windows", allow_module_level=True)

Qrank = Callable[..., Run]
TINY = Path(models.__file__).with_name("tiny")
FILES = 256  # descriptors that the server may have


@pytest.fixture
def environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    (tmp_path / "run").mkdir(mode=0o700)
    return environment | {
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tide_index(tmp_path)


def files_open(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_searches_of_eight_clients_leave_nothing_behind(
    environment: dict[str, str], qrank: Qrank, db: Path
) -> None:
    def search(number: int) -> Run:
        return qrank("search", "--db", db, f"tide {number}", "-l", "--debug")

    with warm_process(environment) as process:
        search(0)  # the models are loaded
        models = [model["pid"] for model in status(environment)["models"]]
        before = [files_open(pid) for pid in (process.pid, *models)]
        with ThreadPoolExecutor(8) as threads:
            runs = list(threads.map(search, range(1, 81)))
        assert {(run.returncode, run.stdout, run.stderr) for run in runs} == {(0, "tide.md\n", "")}
        told = status(environment)
        assert told["commands"] >= 81
        assert [model["pid"] for model in told["models"]] == models
        wait_until(lambda: [files_open(pid) for pid in (process.pid, *models)] <= before)


def test_copies_of_a_model_file_are_one_model(
    environment: dict[str, str], qrank: Qrank, tmp_path: Path
) -> None:
    with warm_process(environment):
        for name in ("a.gguf", "b.gguf"):
            shutil.copy(TINY / "tiny-reranker.gguf", tmp_path / name)
            run = qrank("rerank", "tide", "--rerank-model", name, "--debug", stdin="a tide\n")
            assert (run.returncode, run.stderr) == (0, "")
            assert len(status(environment)["models"]) == 1
        shutil.copy(TINY / "tiny-embedding.gguf", tmp_path / "b.gguf")
        run = qrank("embed", "--embed-model", "b.gguf", stdin="a tide\n")
        assert run.returncode == 0
        assert len(status(environment)["models"]) == 2


def test_an_index_on_a_disk_that_cannot_be_written_is_searched(
    environment: dict[str, str], qrank: Qrank, db: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    db.rename(disk / "i.db")
    words = ("search", "--db", disk / "i.db", "tide", "--debug", "-l")
    with read_only(disk) as prefix, warm_process(environment, prefix=prefix):
        served = qrank(*words)
        alone = qrank(*words, "--no-serve", prefix=prefix)
    assert (served.stdout, served.stderr) == ("tide.md\n", "")
    assert (alone.stdout, alone.stderr) == (served.stdout, "")


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


@pytest.fixture
def served(environment: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """A server of HTTP, too, with few descriptors; its log."""
    pytest.importorskip("starlette", reason="needs the extra qrank[http]")
    pytest.importorskip("uvicorn", reason="needs the extra qrank[http]")
    log = tmp_path / "log"
    with warm_process(environment, "--http", "0", log=log, before=limited):
        yield log


def asked(environment: dict[str, str], db: Path) -> tuple[int, str, int]:
    """The status and the output of a search by the command line, and the status of one by HTTP."""
    told = status(environment)
    command = [COMMAND, "search", "--db", db, "tide", "--mode", "bm25", "-l"]
    run = subprocess.run(command, env=environment, capture_output=True, cwd=db.parent, check=False)
    url = urlsplit(told["http"])
    connection = HTTPConnection(url.hostname or "", url.port, timeout=120)
    headers = {"Authorization": f"Bearer {Path(told['token_file']).read_text().strip()}"}
    connection.request("GET", f"/v1/status?db={db}", headers=headers)
    answer = connection.getresponse().status
    connection.close()
    return run.returncode, run.stdout.decode(), answer


def test_more_connections_than_descriptors_stop_nobody(
    environment: dict[str, str], db: Path, served: Path
) -> None:
    """Silent ones and half-begun ones, on HTTP and both sockets; while they are open and after."""
    told = status(environment)
    url = urlsplit(told["http"])
    path = Path(told["socket"])
    places = [(socket.AF_INET, (url.hostname, url.port))]
    places += [(socket.AF_UNIX, str(path.with_suffix(end))) for end in (".control", ".sock")]
    for family, place in places:
        with ExitStack() as stack:
            for number in range(3 * FILES):
                connection = stack.enter_context(socket.socket(family))
                connection.setblocking(family == socket.AF_INET)
                with suppress(OSError):  # refused, as it may be
                    connection.connect(place)
                    connection.send(b"GET / HT" if number % 2 else b"")
            if family == socket.AF_INET:
                assert asked(environment, db) == (0, "tide.md\n", 200)
            else:  # status itself may find no room; a search runs without the process then
                run = subprocess.run(
                    [COMMAND, "search", "--db", db, "tide", "--mode", "bm25", "-l"],
                    env=environment,
                    cwd=db.parent,
                    capture_output=True,
                    check=False,
                )
                assert (run.returncode, run.stdout) == (0, b"tide.md\n"), run
        wait_until(lambda: status(environment)["running"])
        assert asked(environment, db) == (0, "tide.md\n", 200)
    assert "Too many open files" not in served.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the working folder is changed")
def test_connecting_leaves_the_working_folder_alone(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other threads resolve relative paths while one connects to a model's process."""
    folder = tmp_path / ("long" * 25)  # too long for the path of a socket
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    with warm_process(environment | {"XDG_RUNTIME_DIR": str(folder)}):
        for name in ("chdir", "fchdir"):
            monkeypatch.setattr(os, name, lambda _: pytest.fail("the working folder was changed"))
        places.connect(places.NAME + CONTROL, 60).close()
