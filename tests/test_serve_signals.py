"""Commands that the warm process runs, or not, and that are interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support import COMMAND, wait_until
from warm_process import status, warm_process

if os.name == "nt":
    pytest.skip("it does not run on Windows", allow_module_level=True)


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
