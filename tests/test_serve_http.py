"""qrank serve --http: the installed command, its token, its page, and stopping it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support import Run, complaint, wait_until

pytest.importorskip("starlette", reason="needs the extra qrank[http]")
pytest.importorskip("uvicorn", reason="needs the extra qrank[http]")
if sys.platform == "win32":
    pytest.skip("qrank serve does not run on Windows", allow_module_level=True)

Qrank = Callable[..., Run]


@pytest.fixture
def project(qrank: Qrank, tmp_path: Path, environment: dict[str, str]) -> Iterator[Path]:
    """A project with an index, and a user with folders of their own."""
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    environment |= {"XDG_RUNTIME_DIR": str(runtime), "XDG_STATE_HOME": str(tmp_path / "state")}
    (tmp_path / "tea.md").write_text("Steep green tea for two minutes.\n")
    assert qrank("init").returncode == 0
    assert qrank("index", "tea.md", "--no-serve").returncode == 0
    yield tmp_path
    qrank("serve", "stop")


def ask(url: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    data = None if body is None else json.dumps(body)
    named = headers | ({"Content-Type": "application/json"} if data else {})
    connection.request("POST" if data else "GET", path, data, named)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    return answer.status, json.loads(said) if said[:1] in (b"{", b"[") else said


def answers(url: str) -> bool:
    try:
        return ask(url, "/healthz")[0] == 200
    except OSError:
        return False


def test_it_answers_with_the_projects_index_until_it_is_stopped(
    project: Path, qrank: Qrank
) -> None:
    started = qrank("serve", "--http", "0")
    assert started.returncode == 0, started
    told = qrank("serve", "status", "--json").json()
    url, file = told["http"], Path(told["token_file"])
    assert url.startswith("http://127.0.0.1:")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = {"Authorization": f"Bearer {file.read_text().strip()}"}
    wait_until(lambda: answers(url))
    assert ask(url, "/v1/status")[0] == 401
    status, held = ask(url, "/v1/status", **token)
    assert (status, held["db"]) == (200, str(project / ".qrank" / "index.db"))
    status, found = ask(url, "/v1/search", {"query": "green tea"}, **token)
    assert (status, found["results"][0]["path"]) == (200, str(project / "tea.md"))
    assert found["reranked"] == 1
    models = qrank("serve", "status", "--json").json()["models"]
    assert {model["role"] for model in models} == {"embedder", "reranker"}  # which commands share
    assert "already running" in qrank("serve", "--http", "0").stderr
    assert qrank("serve", "stop").returncode == 0
    wait_until(lambda: not answers(url))
    assert qrank("serve", "--http", "0").returncode == 0
    assert Path(file).read_text().strip() in token["Authorization"]  # it stays the same


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_gets_nothing(project: Path, qrank: Qrank) -> None:
    assert qrank("serve", "--http", "0").returncode == 0
    told = qrank("serve", "status", "--json").json()
    wait_until(lambda: answers(told["http"]))
    script = (
        "import encodings.idna, os, sys, urllib.request, urllib.error\n"
        "os.setgid(12345); os.setuid(12345)\n"
        "try: urllib.request.urlopen(sys.argv[1] + '/v1/status'); print('answered')\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
        "try: open(sys.argv[2]); print('read')\n"
        "except PermissionError: print('not read')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, told["http"], told["token_file"]],
        env={"no_proxy": "*"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.stdout.splitlines() == ["401", "not read"], run


def test_the_page_is_opened_in_the_browser(
    project: Path, qrank: Qrank, environment: dict[str, str]
) -> None:
    browser = project / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {project}/opened\n')
    browser.chmod(0o755)
    environment["BROWSER"] = f"{browser} %s"
    assert qrank("serve", "--http", "0").returncode == 0
    url = qrank("serve", "status", "--json").json()["http"]
    wait_until(lambda: answers(url))
    run = qrank("serve", "--open")
    assert (run.returncode, run.stdout) == (0, ""), run
    opened = (project / "opened").read_text().strip()
    assert opened.startswith(f"{url}/?code=")
    assert ask(url, opened.removeprefix(url))[0] == 303
    assert ask(url, opened.removeprefix(url))[0] == 401  # once


def test_a_server_that_is_killed_leaves_no_other(project: Path, qrank: Qrank) -> None:
    assert qrank("serve", "--http", "0").returncode == 0
    told = qrank("serve", "status", "--json").json()
    wait_until(lambda: answers(told["http"]))
    os.kill(told["pid"], signal.SIGKILL)
    wait_until(lambda: not answers(told["http"]))
    port = urlsplit(told["http"]).port
    assert qrank("serve", "--http", str(port)).returncode == 0


def test_what_cannot_be_served_is_said(project: Path, qrank: Qrank) -> None:
    assert "takes [HOST:]PORT" in complaint(qrank("serve", "--foreground", "--http", "nowhere"))
    assert "can't be combined" in complaint(qrank("serve", "--foreground", "--open"))
    assert qrank("serve").returncode == 0
    assert "runs without HTTP; end it first: qrank serve stop" in complaint(
        qrank("serve", "--open")
    )
    assert qrank("serve", "stop").returncode == 0
    assert qrank("serve", "--http", "0").returncode == 0
    url = qrank("serve", "status", "--json").json()["http"]
    token = Path(qrank("serve", "status", "--json").json()["token_file"])
    qrank("serve", "stop")
    token.chmod(0o644)
    assert "may be read by others" in complaint(qrank("serve", "--http", str(urlsplit(url).port)))


def test_its_host_is_what_it_is_told(project: Path, qrank: Qrank) -> None:
    assert qrank("serve", "--http", "localhost:0").returncode == 0
    url = qrank("serve", "status", "--json").json()["http"]
    wait_until(lambda: answers(url))
    assert ask(url, "/healthz", Host="evil.example")[0] == 421
