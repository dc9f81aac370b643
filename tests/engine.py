"""A real search engine for tests: tests/engines/start, run once, when a test first asks for it."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

START = Path(__file__).parent / "engines" / "start"
NODES = 1
VARIABLE = "ENGINE_OF_TESTS"  # the address of one that runs already


class NoEngineError(Exception):
    """It can't be started here."""


def start(nodes: int, folder: Path) -> tuple[subprocess.Popen[str], list[str]]:
    """(the process of a cluster, the addresses of its nodes), when all have joined."""
    words = [START, str(nodes), "--folder", folder]
    with (folder / "start.log").open("w") as log:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    addresses = process.stdout.readline().split()
    if not addresses:
        process.wait()
        raise NoEngineError((folder / "start.log").read_text()[-300:])
    return process, addresses


def stop(process: subprocess.Popen[str], folder: Path) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    if process.stdout:
        process.stdout.close()
    shutil.rmtree(folder, ignore_errors=True)


@cache
def _address() -> str:
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    for name in ("java", "mvn"):
        if shutil.which(name) is None:
            return f"no {name}"
    folder = Path(tempfile.mkdtemp(prefix="qrank-engine-"))
    try:
        process, [address] = start(NODES, folder)
    except NoEngineError as error:
        shutil.rmtree(folder, ignore_errors=True)
        return f"no engine: {error}"
    atexit.register(stop, process, folder)
    return address


def engine() -> str:
    """The address of an engine of one node; skips the test where there can be none."""
    address = _address()
    if not address.startswith("http"):
        pytest.skip(f"a search engine can't be started here: {address}")
    return address


def index_for(folder: Path) -> str:
    """The URL of an index of a running engine, another one for each folder."""
    return f"{engine()}/test-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"


def delete_index(url: str) -> None:
    """Delete an index."""
    both = f"{url},{url.rpartition('/')[2]}-meta?ignore_unavailable=true"
    urlopen(Request(both, method="DELETE")).close()
