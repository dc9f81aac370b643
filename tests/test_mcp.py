"""MCP for agents, over stdio: asked by the SDK's own client, and by hand."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from loopback import Handler, serving
from support import COMMAND, SAMPLE, Run, clean_environment, complaint, wait_until
from warm_process import status, warm_process

from qrank.agents.deadline import Cancellable, CancelledError
from qrank.agents.pages import Block, Pages
from qrank.agents.tools import Tools
from qrank.config import load_settings
from qrank.errors import InputError
from qrank.searching.pack import estimate
from qrank.serve.pool import Pool

mcp = pytest.importorskip("mcp", reason="needs the extra qrank[mcp]")
from mcp.client.stdio import StdioServerParameters  # noqa: E402

Qrank = Callable[..., Run]
OLD_REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an index, as a client finds it."""
    folder = tmp_path_factory.mktemp("project")
    environment = clean_environment(folder)
    for words in (["init"], ["index", str(SAMPLE / "runbooks"), str(SAMPLE / "howto")]):
        subprocess.run(
            [COMMAND, *words], cwd=folder, env=environment, check=True, capture_output=True
        )
    return folder


def talk(folder: Path, mode: str, ask: Callable[[Any], Any], *words: str, **variables: str) -> Any:
    """What ask gives of a client that has started the server in a folder."""
    server = StdioServerParameters(
        command=str(COMMAND),
        args=["mcp", *words],
        cwd=folder,
        env=clean_environment(folder) | variables,
    )

    async def run() -> Any:
        async with mcp.Client(server, mode=mode, read_timeout_seconds=120) as client:
            return await ask(client)

    return asyncio.run(run())


def text_of(result: Any) -> str:
    assert result.structured_content is None  # clients would send the model both
    [content] = result.content
    return str(content.text)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28", "auto"])
def test_a_client_finds_and_reads(project: Path, mode: str) -> None:
    async def ask(client: Any) -> None:
        assert mode == "2026-07-28" or "search" in client.instructions  # it has no handshake
        result = await client.call_tool("search", {"query": "renew a certificate"})
        found = text_of(result)
        assert not result.is_error
        assert estimate(found) <= 4000
        place = re.search(r"^\[1\] (\S+tls-renewal\.md):(\d+)-(\d+) .*, id ([^\s,]+)", found, re.M)
        assert place, found
        path, first, last, number = place.groups()
        by_id = text_of(await client.call_tool("get", {"id": number}))
        by_lines = await client.call_tool("get", {"path": path, "lines": f"{first}-{last}"})
        as_printed = await client.call_tool("get", {"path": f"{path}:{first}-{last}"})
        lines = Path(path).read_text("utf-8").splitlines()[int(first) - 1 : int(last)]
        for answer in (by_id, text_of(by_lines), text_of(as_printed)):
            assert answer.partition("\n")[2] == "\n".join(lines)
        near = text_of(await client.call_tool("similar", {"place": f"{path}:{first}"}))
        assert near.startswith("10 results like")
        assert str(project / ".qrank" / "index.db") in text_of(await client.call_tool("status", {}))

    talk(project, mode, ask)


def test_the_tools_are_read_only_and_every_argument_is_described(project: Path) -> None:
    async def ask(client: Any) -> list[Any]:
        return list((await client.list_tools()).tools)

    tools = talk(project, "auto", ask)
    assert {tool.name for tool in tools} == {"search", "get", "similar", "status"}
    for tool in tools:
        assert tool.annotations.read_only_hint, tool.name
        assert tool.annotations.destructive_hint is False
        assert tool.description
        assert "  " not in tool.description
        for name, argument in tool.input_schema["properties"].items():
            assert argument.get("description"), f"{tool.name}: {name}"


def test_collections_are_told_with_what_their_user_said_of_them(
    tmp_path: Path, qrank: Qrank
) -> None:
    (tmp_path / "tea.md").write_text("Green tea steeps for two minutes.\n")
    db = tmp_path / "i.db"
    qrank("index", tmp_path / "tea.md", "--no-embed", "--collection", "notes", "--db", db)
    settings = {"description": "All on tea", "ignore": "*.log", "instruction": "Find the note"}
    for key, value in settings.items():
        qrank("collections", "set", "notes", key, value, "--db", db)

    async def ask(client: Any) -> str:
        return text_of(await client.call_tool("status", {"index": str(db)}))

    told = talk(tmp_path, "auto", ask)
    assert all(value in told for value in settings.values())
    assert "notes (1 files): All on tea" in told


def test_dates_are_those_of_the_command_line(tmp_path: Path, qrank: Qrank) -> None:
    for day in ("2026-02-28", "2026-03-01"):
        (tmp_path / f"{day}.md").write_text(f"---\ndate: {day}\n---\nA tea of that day.\n")
    qrank("index", tmp_path, "--no-embed", "--db", tmp_path / "i.db")

    async def ask(client: Any) -> str:
        arguments = {"query": "tea", "mode": "bm25", "index": str(tmp_path / "i.db")}
        return text_of(await client.call_tool("search", arguments | {"until": "2026-02"}))

    told = talk(tmp_path, "auto", ask)
    assert "2026-02-28.md" in told
    assert "2026-03-01.md" not in told


def test_what_cannot_be_answered_is_said(project: Path, tmp_path: Path) -> None:
    (project / "secret.txt").write_text("not indexed\n")
    calls: list[tuple[str, dict[str, Any], str]] = [
        ("get", {"path": "secret.txt"}, "is not in the index"),
        ("get", {"path": "../../../../../../etc/passwd"}, "is not in the index"),
        ("get", {"path": "/etc/passwd"}, "is not in the index"),
        ("get", {"path": "/etc/passwd", "index": "/etc"}, ""),
        ("get", {"id": "999999"}, "there is no chunk"),
        ("get", {}, "give either id or path"),
        ("get", {"path": str(SAMPLE / "howto" / "brakes.md"), "lines": "900"}, "no text in lines"),
        ("get", {"path": str(SAMPLE / "howto" / "brakes.md"), "lines": "x"}, "FROM-TO"),
        ("search", {"query": " "}, "the query is empty"),
        ("search", {"query": "tea", "cursor": "nowhere"}, "call again without a cursor"),
        ("search", {"query": "tea", "since": "soon"}, "YYYY-MM-DD"),
        ("search", {"query": "tea", "index": str(tmp_path / "none.db")}, "there is no index"),
        ("search", {"query": "tea", "limit": 0}, "limit"),
        ("search", {}, "query"),
        ("similar", {"place": "nowhere.md"}, "is not in the index"),
    ]

    async def ask(client: Any) -> None:
        for tool, arguments, said in calls:
            result = await client.call_tool(tool, arguments)
            assert result.is_error, arguments
            assert said in text_of(result)
            assert "root:" not in text_of(result)

    talk(project, "auto", ask)


def test_the_index_is_the_one_named(project: Path, tmp_path: Path, qrank: Qrank) -> None:
    (tmp_path / "owl.md").write_text("An owl hunts at night.\n")
    assert qrank("index", "owl.md", "--no-embed", "--db", "own.db").returncode == 0
    db = str(tmp_path / "own.db")

    async def found(client: Any) -> str:
        return text_of(await client.call_tool("search", {"query": "owl", "mode": "bm25"}))

    async def by_argument(client: Any) -> str:
        arguments = {"query": "certificate", "mode": "bm25", "index": str(project)}
        return text_of(await client.call_tool("search", arguments))

    assert "owl.md" in talk(tmp_path, "auto", found, "--db", db)
    assert "owl.md" in talk(tmp_path, "auto", found, QRANK_DB=db)
    assert "tls-renewal" in talk(tmp_path, "auto", by_argument, "--db", db)


class Spoken:
    """The server's messages, read line by line: whatever else it prints is no JSON."""

    def __init__(self, folder: Path, *words: str, **variables: str) -> None:
        self._run = subprocess.Popen(
            [COMMAND, "mcp", *words],
            cwd=folder,
            env=clean_environment(folder) | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._number = 0

    def ask(self, method: str, params: Any) -> Any:
        self._number += 1
        self.tell(method, params, id=self._number)
        assert self._run.stdout
        while True:
            answer = json.loads(self._run.stdout.readline())
            if answer.get("id") == self._number:
                return answer["result"]

    def tell(self, method: str, params: Any, **more: Any) -> None:
        assert self._run.stdin
        message = {"jsonrpc": "2.0", "method": method, "params": params, **more}
        self._run.stdin.write(json.dumps(message).encode() + b"\n")
        self._run.stdin.flush()

    def initialize(self, revision: str) -> Any:
        result = self.ask(
            "initialize",
            {
                "protocolVersion": revision,
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"},
            },
        )
        self.tell("notifications/initialized", {})
        return result

    def end(self) -> tuple[int, bytes, bytes]:
        """Close stdin; what it gave then."""
        rest, errors = self._run.communicate(timeout=120)
        return self._run.returncode, rest, errors

    def __enter__(self) -> Spoken:
        return self

    def __exit__(self, *_: object) -> None:
        self._run.kill()
        self._run.communicate()


NOISE = """
import os, sys, threading, time

class Noisy:
    def find_spec(self, name, path=None, target=None):
        if name in ("mcp", "anyio", "llama_cpp", "numpy", "pydantic"):
            os.write(1, f"noise of {name}\\n".encode())
            print("noise of print")

sys.meta_path.insert(0, Noisy())
"""


@pytest.mark.parametrize("revision", OLD_REVISIONS)
def test_stdout_carries_messages_only(project: Path, tmp_path: Path, revision: str) -> None:
    """Libraries write to fd 1 when they are imported, as llama.cpp does when it loads a model."""
    (tmp_path / "sitecustomize.py").write_text(NOISE)
    with Spoken(project, PYTHONPATH=str(tmp_path)) as server:
        assert server.initialize(revision)["protocolVersion"] == revision
        query = f"renew a certificate {revision}"  # no answer to it is cached
        call = {"name": "search", "arguments": {"query": query}}
        assert "tls-renewal" in server.ask("tools/call", call)["content"][0]["text"]
        status, rest, errors = server.end()
    assert (status, rest) == (0, b"")
    assert b"noise of llama_cpp" in errors
    assert b"noise of mcp" in errors


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes requests and does not answer until the end."""
    over = threading.Event()

    class Silent(Handler):
        def do_GET(self) -> None:
            over.wait(120)

        do_POST = do_GET

    with serving(Silent) as url:
        try:
            yield url
        finally:
            over.set()


def test_initialize_and_keywords_do_not_wait_for_a_model(project: Path) -> None:
    with silent_server() as url, Spoken(project, "--rerank-model", url, no_proxy="*") as server:
        call = {"name": "search", "arguments": {"query": "certificate", "limit": 3}}
        server.initialize("2025-06-18")
        server.tell("tools/call", call, id="slow")
        quick = {"name": "search", "arguments": {"query": "certificate", "mode": "bm25"}}
        assert "tls-renewal" in server.ask("tools/call", quick)["content"][0]["text"]
        assert len(server.ask("tools/list", {})["tools"]) == 4
        server.tell("notifications/cancelled", {"requestId": "slow"})
        assert server.end()[0] == 0  # though the reranker has not answered


@pytest.mark.skipif(os.name == "nt", reason="qrank serve does not run on Windows")
def test_the_warm_process_runs_the_models_as_long_as_it_is_there(
    project: Path, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    variables = {"XDG_RUNTIME_DIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment = clean_environment(project) | variables

    def is_reranked(query: str) -> bool:
        call = {"name": "search", "arguments": {"query": query}}
        text = server.ask("tools/call", call)["content"][0]["text"]
        return "relevance score" in text and "not reranked" not in text

    with Spoken(project, **variables) as server:
        server.initialize("2025-06-18")
        with warm_process(environment):
            # On a busy machine ten seconds may be too short; what was computed is kept.
            wait_until(lambda: is_reranked("renew a certificate"))
            roles = {model["role"] for model in status(environment)["models"]}
            assert roles == {"embedder", "reranker"}
        wait_until(lambda: is_reranked("fix the brakes"))  # it has ended


def test_a_slow_reranker_costs_its_order_and_not_the_answer(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    db = project / ".qrank" / "index.db"
    with silent_server() as url, Pool() as pool:
        tools = Tools(pool, load_settings, db=db, rerank_model=url, budget=0.2)
        wait_until(lambda: "relevance score" in tools.search("a certificate", rerank=False))
        found = tools.search("renew a certificate")
        assert "not reranked: the reranker did not answer within 0.2 s" in found
        assert "relevance score" in found
        assert "tls-renewal.md" in found
        tools.close()


def test_a_search_that_nobody_waits_for_ends(project: Path) -> None:
    progress = Cancellable()
    progress.cancel()
    with Pool() as pool:
        tools = Tools(pool, load_settings, db=project / ".qrank" / "index.db")
        with pytest.raises(CancelledError):
            tools.search("renew a certificate", progress=progress)
        tools.close()


def test_pages_give_every_text_whole_and_keep_to_their_size() -> None:
    texts = ["short", "line\n" * 900, "word " * 3000, "x" * 9000, "日本語" * 2000, "", "end"]
    blocks = [Block(f"[{i}] a.md:{i}-{i}", text, i) for i, text in enumerate(texts, 1)]
    pages = Pages()
    got = [""] * len(texts)
    page, size = pages.first("get", "the head", blocks, 300), 300
    for _ in range(200):
        assert estimate(page) <= size
        for part in re.split(r"\n\n(?=\[)", page):
            if label := re.match(r"\[(\d)\] a\.md:\d-\d(?: \(continued.*\))?\n", part):
                got[int(label[1]) - 1] += part[label.end() :]
        cursor = re.search(r'cursor "(\w+)"', page)
        if cursor is None:
            break
        again = pages.next("get", cursor[1], 300)
        assert again.split("cursor")[0] == pages.next("get", cursor[1], 300).split("cursor")[0]
        page, size = again, 300
    assert got == texts
    assert estimate(pages.first("get", "", blocks, 10**9)) <= 20_000
    with pytest.raises(InputError, match="call again without a cursor"):
        pages.next("get", "0", 300)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['mcp'] = None; sys.argv = ['qrank', 'mcp']\n"
        "from qrank.__main__ import main; main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    said = complaint(Run((), run.returncode, run.stdout, run.stderr))
    assert said.endswith('needs the package mcp; install it with: pip install "qrank[mcp]"')


# qrank mcp install


@pytest.mark.parametrize(
    ("client", "file", "held"),
    [
        ("claude", ".mcp.json", '{"mcpServers": {"other": {"command": "o"}}, "more": [1]}'),
        ("cursor", ".cursor/mcp.json", "{}"),
        ("vscode", ".vscode/mcp.json", '{"servers": {"other": {"command": "o"}}, "more": [1]}'),
        ("gemini", ".gemini/settings.json", '{"theme": "GitHub"}'),
        ("opencode", "opencode.json", None),
        ("zed", ".zed/settings.json", None),
        (
            "codex",
            ".codex/config.toml",
            '# mine\nmodel = "m"\n\n[mcp_servers.other]\ncommand = "o"\n',
        ),
    ],
)
def test_a_client_is_told_of_qrank(
    qrank: Qrank, tmp_path: Path, client: str, file: str, held: str | None
) -> None:
    path = tmp_path / file
    if held is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(held)
    (tmp_path / "AGENTS.md").write_text("# Rules\n\nBe kind.\n")
    printed = qrank("mcp", "install", client, "--print")
    assert "qrank" in printed.stdout
    assert "nothing was written" in qrank("mcp", "install", client).stderr  # stdin is no terminal
    assert (path.read_text() if held is not None else None) == held
    assert (tmp_path / "AGENTS.md").read_text() == "# Rules\n\nBe kind.\n"

    shown = qrank("mcp", "install", client, "--yes")
    assert shown.returncode == 0, shown
    text = path.read_text()
    assert str(path) in shown.stdout
    assert text in shown.stdout
    assert '"mcp"' in text
    for kept in ("other", "more", "theme", "# mine", 'model = "m"'):
        assert (kept in (held or "")) == (kept in text)
    advice = (tmp_path / "AGENTS.md").read_text()
    assert advice.startswith("# Rules\n\nBe kind.\n\n<!-- qrank")
    assert "`search`" in advice
    assert "already has it" in qrank("mcp", "install", client).stdout
    assert (path.read_text(), (tmp_path / "AGENTS.md").read_text()) == (text, advice)


def test_the_config_that_is_written_starts_the_server(project: Path, qrank: Qrank) -> None:
    written = qrank("mcp", "install", "claude", "--yes", "--no-agents-md", cwd=project)
    assert written.returncode == 0, written
    assert not (project / "AGENTS.md").exists()
    entry = json.loads((project / ".mcp.json").read_text())["mcpServers"]["qrank"]
    server = StdioServerParameters(
        command=entry["command"], args=entry["args"], cwd=project, env=clean_environment(project)
    )

    async def run() -> str:
        async with mcp.Client(server) as client:
            return text_of(await client.call_tool("status", {}))

    assert str(project) in asyncio.run(run())


def test_a_client_without_a_project_gets_the_index_by_name(
    qrank: Qrank, tmp_path: Path, environment: dict[str, str]
) -> None:
    assert qrank("init").returncode == 0
    assert qrank("mcp", "install", "windsurf", "--yes").returncode == 0
    file = Path(environment["HOME"]) / ".codeium" / "windsurf" / "mcp_config.json"
    entry = json.loads(file.read_text())["mcpServers"]["qrank"]
    assert entry["args"] == ["mcp", "--db", str(tmp_path / ".qrank" / "index.db")]
    assert not (tmp_path / "AGENTS.md").exists()


@pytest.mark.parametrize(
    ("client", "file", "held", "said"),
    [
        ("zed", ".zed/settings.json", '{\n  // mine\n  "theme": "One"\n}\n', "is not plain JSON"),
        ("claude", ".mcp.json", "[1]", "mcpServers is not a table"),
        ("claude", ".mcp.json", '{"mcpServers": 3}', "mcpServers is not a table"),
        ("codex", ".codex/config.toml", "= 3", "is not valid TOML"),
        ("emacs", "emacs", "x", "does not know the client 'emacs'; use one of: claude,"),
    ],
)
def test_a_config_that_is_not_understood_stays(
    qrank: Qrank, tmp_path: Path, client: str, file: str, held: str, said: str
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(held)
    run = qrank("mcp", "install", client, "--yes")
    assert said in complaint(run)
    assert path.read_text() == held
