"""--pre: the user's command runs without the reader's limits, but within its own."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import COMMAND, Run

Qrank = Callable[..., Run]


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    """A shell script in a file; a.xyz is there to be read."""
    (tmp_path / "a.xyz").write_bytes(b"\0\1\2")

    def write(text: str) -> Path:
        path = tmp_path / "script.sh"
        path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
        path.chmod(0o755)
        return path

    return write


def is_running(pid: int) -> bool:
    """Whether a process is there, and not only waits to be forgotten."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends(pid: int) -> bool:
    """Whether a process is gone soon."""
    for _ in range(200):
        if not is_running(pid):
            return True
        time.sleep(0.05)
    return False


def test_the_command_has_the_user_s_limits(qrank: Qrank, script: Callable[[str], Path]) -> None:
    path = script("ulimit -S -v; ulimit -S -t")
    [chunk] = qrank("chunks", "a.xyz", "--pre", path, "--jsonl").lines()
    own = subprocess.run([path], capture_output=True, text=True, check=True).stdout
    assert chunk["text"].split() == own.split()


def test_limits_that_the_user_set_stay(
    script: Callable[[str], Path], environment: dict[str, str], tmp_path: Path
) -> None:
    script("ulimit -S -v; ulimit -S -t")
    run = subprocess.run(
        ["sh", "-c", f"ulimit -S -v 9000000; {COMMAND} chunks a.xyz --pre ./script.sh"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "9000000" in run.stdout, run


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_a_command_that_writes_without_end_is_stopped(
    stream: str, qrank: Qrank, script: Callable[[str], Path]
) -> None:
    path = script(f"yes {stream}")
    run = qrank("chunks", "a.xyz", "--pre", path, "--timeout", "200")
    assert run.returncode == 2
    assert f"{path} wrote more than 64 MiB" in " ".join(run.stderr.split())


def test_what_a_command_started_ends_with_it(
    qrank: Qrank, script: Callable[[str], Path], tmp_path: Path
) -> None:
    path = script("sleep 1000 & echo $! > pid; wait")
    run = qrank("chunks", "a.xyz", "--pre", path, "--timeout", "2")
    assert "took longer than 2 s" in " ".join(run.stderr.split())
    assert ends(int((tmp_path / "pid").read_text()))


def test_ctrl_c_ends_the_command_too(
    script: Callable[[str], Path], tmp_path: Path, environment: dict[str, str]
) -> None:
    path = script("sleep 1000 & echo $! $$ > part; mv part pids; wait")
    words = [COMMAND, "index", "a.xyz", "--no-embed", "--db", "i.db", "--pre", path]
    run = subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    for _ in range(600):
        if (tmp_path / "pids").exists():
            break
        time.sleep(0.05)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert all(map(is_running, pids))
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert all(map(ends, pids))


def test_the_signal_that_ended_a_command_is_said(
    qrank: Qrank, script: Callable[[str], Path]
) -> None:
    path = script("kill -SEGV $$")
    run = qrank("chunks", "a.xyz", "--pre", path)
    assert f"{path} was killed by SIGSEGV" in " ".join(run.stderr.split())
    path = script("echo why >&2; exit 3")
    run = qrank("chunks", "a.xyz", "--pre", path)
    assert f"{path} exited with status 3: why" in " ".join(run.stderr.split())
