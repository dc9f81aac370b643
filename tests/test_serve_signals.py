"""Interrupting commands, with and without qrank serve."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support import COMMAND, Run, wait_until
from warm_process import status, tide_index, warm_process

if os.name == "nt":
    pytest.skip("it does not run on Windows", allow_module_level=True)

# A shell that stops its job, as Ctrl-Z on a terminal does, and goes on with it when told to.
SHELL = """
import os, signal, sys, termios
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(2, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
os.close(0)
os.close(1)
while True:
    _, state = os.waitpid(job, os.WUNTRACED)
    if not os.WIFSTOPPED(state):
        break
    os.tcsetpgrp(2, os.getpid())
    print(f"stopped by {os.WSTOPSIG(state)}", file=sys.stderr, flush=True)
    os.read(2, 1)
    os.tcsetpgrp(2, job)
    os.killpg(job, signal.SIGCONT)
print(f"ended with {os.waitstatus_to_exitcode(state)}", file=sys.stderr, flush=True)
signal.pause()  # its end would take what the terminal shows with it
"""
STOPPED = b"stopped by %d\r\n" % signal.SIGTSTP


@pytest.fixture
def environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    (tmp_path / "run").mkdir(mode=0o700)
    return environment | {"XDG_RUNTIME_DIR": str(tmp_path / "run")}


@pytest.fixture
def server(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with warm_process(environment) as process:
        yield process


@pytest.mark.usefixtures("server")
def test_a_client_that_goes_away_takes_its_work_with_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    texts = "\n".join(f"a long text about tides and the moon {i} " * 60 for i in range(3000))
    (tmp_path / "texts").write_text(texts)
    with (tmp_path / "texts").open("rb") as stdin:
        client = subprocess.Popen(
            [COMMAND, "rerank", "tide", "--candidates", "all"],
            env=environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
        )

    def clients() -> list[int]:
        return [model["clients"] for model in status(environment)["models"]]

    wait_until(lambda: clients() == [1], client)
    client.send_signal(signal.SIGKILL)
    client.wait()
    assert client.stdout
    client.stdout.close()
    wait_until(lambda: clients() == [0])


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("where", [(), ("--no-serve",)])
@pytest.mark.parametrize(
    ("number", "ended", "said"),
    [(signal.SIGINT, 130, "qrank: interrupted\n"), (signal.SIGTERM, 143, "qrank: terminated\n")],
)
def test_signals_end_a_run_though_nobody_reads_its_output(
    environment: dict[str, str], where: tuple[str, ...], number: int, ended: int, said: str
) -> None:
    before = status(environment)["commands"]
    client = subprocess.Popen(
        [COMMAND, "embed", *where],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert client.stdin
    assert client.stdout
    client.stdin.write(b"tide\n" * 32)
    client.stdin.flush()
    assert client.stdout.readline().startswith(b'{"text": "tide"')
    assert status(environment)["commands"] == before + (not where)
    client.send_signal(number)
    # stdin stays open until then: at its end the command would end by itself.
    client.wait(timeout=120)
    assert client.stderr
    assert (client.returncode, client.stderr.read().decode()) == (ended, said)
    client.communicate()


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("where", [(), ("--no-serve",)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_run_though_nobody_reads_what_it_says(
    environment: dict[str, str], where: tuple[str, ...], number: int
) -> None:
    """Neither results nor that it was interrupted: the pipe of both is full from the start."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    client = subprocess.Popen(
        [COMMAND, "embed", *where],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=writing,
        stderr=writing,
    )
    try:
        assert client.stdin
        client.stdin.write(b"tide\n" * 14_000)  # more than a pipe takes: it has begun to read
        client.send_signal(number)
        assert client.wait(timeout=60) == 128 + number
    finally:
        client.kill()
        client.wait()
        os.close(reading)
        os.close(writing)
    with suppress(BrokenPipeError):
        client.stdin.close()


class Job:
    """A command that is the job of a shell on a terminal of its own; a pipe is its stdin, another
    its stdout."""

    def __init__(self, environment: dict[str, str], *words: str) -> None:
        self.master, terminal = pty.openpty()
        self.shell = subprocess.Popen(
            [sys.executable, "-c", SHELL, COMMAND, *words],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0),
        )
        os.close(terminal)
        assert self.shell.stdin
        assert self.shell.stdout
        self.stdin, self.stdout = self.shell.stdin, self.shell.stdout
        self.shown = b""

    def write(self, data: bytes) -> None:
        self.stdin.write(data)
        self.stdin.flush()

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def wait_for(self, said: bytes) -> None:
        """Until the terminal shows it."""
        while said not in self.shown:
            self.shown += os.read(self.master, 4096)

    def unread(self) -> int:
        """How many bytes of its stdin the command has not read."""
        said = fcntl.ioctl(self.stdin, termios.FIONREAD, b"\0" * 4)
        return int(struct.unpack("i", said)[0])

    def end(self) -> None:
        self.shell.kill()
        self.shell.wait()
        os.close(self.master)
        self.stdout.close()
        with suppress(BrokenPipeError):
            self.stdin.close()


@pytest.fixture
def start_job(
    environment: dict[str, str], server: subprocess.Popen[bytes]
) -> Iterator[Callable[..., Job]]:
    jobs = []

    def start(*words: str) -> Job:
        jobs.append(Job(environment, *words))
        return jobs[-1]

    yield start
    for job in jobs:
        job.end()


@pytest.mark.parametrize("where", [(), ("--no-serve",)])
def test_ctrl_z_stops_a_command_and_fg_goes_on_with_it(
    environment: dict[str, str],
    qrank: Callable[..., Run],
    tmp_path: Path,
    start_job: Callable[..., Job],
    where: tuple[str, ...],
) -> None:
    db = tide_index(tmp_path)
    before = status(environment)["commands"]
    job = start_job("embed", *where)
    job.write(b"tide\n" * 32)
    lines = [job.stdout.readline() for _ in range(32)]
    assert status(environment)["commands"] == before + (not where)
    for _ in range(2):
        job.shown = b""
        job.type(b"\x1a")
        job.wait_for(STOPPED)
        job.write(b"moon\n" * 32)
        # Others are answered meanwhile, by the same model.
        run = qrank("search", "--db", db, "tide", "-l", "--debug")
        assert (run.returncode, run.stderr) == (0, "")
        assert job.unread() == 5 * 32
        job.type(b"\n")
        lines += [job.stdout.readline() for _ in range(32)]
    job.stdin.close()
    assert job.stdout.readline() == b""
    texts = [json.loads(line)["text"] for line in lines]
    assert texts == ["tide"] * 32 + ["moon"] * 64
    job.wait_for(b"ended with 0\r\n")


def stopped_job(start_job: Callable[..., Job]) -> Job:
    """A command that Ctrl-Z has stopped while it writes."""
    job = start_job("embed")
    job.write(b"tide\n" * 32)
    job.stdout.readline()
    job.type(b"\x1a")
    job.wait_for(STOPPED)
    return job


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_command_ends_with_its_client(
    environment: dict[str, str], start_job: Callable[..., Job], number: int
) -> None:
    job = stopped_job(start_job)
    [client] = [int(pid) for pid in children(job.shell.pid)]
    os.kill(client, number)
    job.type(b"\n")  # fg
    job.wait_for(b"ended with %d\r\n" % (143 if number == signal.SIGTERM else -number))
    wait_until(lambda: status(environment)["models"][0]["clients"] == 0)


def test_a_stopped_command_does_not_keep_the_process_from_ending(
    server: subprocess.Popen[bytes], start_job: Callable[..., Job]
) -> None:
    job = stopped_job(start_job)
    server.terminate()
    server.wait(60)
    job.type(b"\n")
    job.wait_for(b"ended with 143\r\n")


def children(pid: int) -> list[str]:
    """The processes that a process has started."""
    run = subprocess.run(
        ["pgrep", "-P", str(pid)], capture_output=True, text=True, timeout=60, check=True
    )
    return run.stdout.split()


def test_a_command_that_reads_the_terminal_leaves_it_to_the_shell(
    environment: dict[str, str], server: subprocess.Popen[bytes]
) -> None:
    """It runs where job control reaches it: in the background it would take the shell's input."""
    master, terminal = pty.openpty()
    try:
        os.write(master, b"the tide\n\x04")
        before = status(environment)["commands"]
        run = subprocess.run(
            [COMMAND, "rerank", "tide", "--debug"],
            env=environment,
            stdin=terminal,
            capture_output=True,
            timeout=120,
            check=True,
        )
    finally:
        os.close(master)
        os.close(terminal)
    assert b"not run by the warm process: it reads from the terminal" in run.stderr
    assert b"the tide" in run.stdout
    assert status(environment)["commands"] == before
