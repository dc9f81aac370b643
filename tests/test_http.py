"""The HTTP API: responses, access, and limits of requests."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pdf_files import Pdf, text
from support import COMMAND, SAMPLE, Run, clean_environment, wait_until

pytest.importorskip("starlette", reason="needs the extra qrank[http]")
pytest.importorskip("uvicorn", reason="needs the extra qrank[http]")
import web_server
from web_server import Web

from qrank import Index, json_form, models
from qrank.inference.loading import load_embedder
from qrank.models.registry import Registry, Role
from qrank.processors import tokens_read
from qrank.settings import ANYWHERE
from qrank.web import guard, run, schemas

Qrank = Callable[..., Run]
TINY = Path(models.__file__).with_name("tiny")
ADDRESSES = [
    *("/v1/search", "/v1/get", "/v1/similar", "/v1/status", "/v1/embeddings", "/v1/rerank"),
    *("/v1/open", "/mcp", "/openapi.json", "/page/page.js", "/page/formats", "/page/picture"),
    *("/nothing", "/../etc/passwd", "//etc/passwd", "/page/../access.py"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("web")
    environment = clean_environment(place)
    words = ["index", str(SAMPLE / "runbooks"), str(SAMPLE / "howto"), "--db", "i.db"]
    subprocess.run([COMMAND, *words], cwd=place, env=environment, check=True, capture_output=True)
    return place


@pytest.fixture(scope="module")
def web(folder: Path) -> Iterator[Web]:
    with web_server.serving(folder / "i.db", folder / "token") as running:
        yield running


def one_page(words: str) -> bytes:
    pdf = Pdf()
    pdf.page(text((50, 700, words)))
    return pdf.bytes()


def without_times(answer: Any) -> Any:
    for result in answer["results"]:
        if result["scores"]["rerank"]:
            del result["scores"]["rerank"]["cached"]
    return {name: value for name, value in answer.items() if name != "timings_ms"}


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["--mode", "bm25", "-n", "3"], {"mode": "bm25", "limit": 3}),
        (["-n", "2", "--candidates", "4"], {"limit": 2, "candidates": 4}),
        (["--no-rerank", "--path", "*.md"], {"rerank": False, "path": "*.md"}),
        (["--mode", "vector", "--type", "md"], {"mode": "vector", "type": ["md"]}),
        (["--no-rerank", "--explain"], {"rerank": False, "explain": True}),
        (["--mode", "bm25", "--since", "2100-01-01"], {"mode": "bm25", "since": "2100-01-01"}),
        (["--mode", "bm25", "--since", "2w"], {"mode": "bm25", "since": "2w"}),
        (["--mode", "bm25", "--until", "today"], {"mode": "bm25", "until": "today"}),
        (["--no-rerank", "-E", "[Cc]ert"], {"rerank": False, "regex": "[Cc]ert"}),
        (["--no-rerank", "-F", "DNS"], {"rerank": False, "literal": ["DNS"]}),
        (["--no-rerank", "--copies"], {"rerank": False, "copies": True}),
    ],
)
def test_a_search_is_answered_as_on_the_command_line(
    folder: Path, web: Web, qrank: Qrank, words: list[str], asked: dict[str, Any]
) -> None:
    query = "renew a certificate"
    printed = qrank("search", query, "--json", *words, "--db", folder / "i.db").json()
    status, _, answer = web.ask("/v1/search", {"query": query, **asked})
    assert status == 200
    jsonschema.validate(answer, json.loads(json_form.schema("search")))
    assert without_times(answer) == without_times(printed)


def test_so_are_the_others(folder: Path, web: Web, qrank: Qrank) -> None:
    found = web.ask("/v1/search", {"query": "certificate", "mode": "bm25"})[2]
    first = found["results"][0]
    words = {first["text"][start:end].lower() for start, end in first["matches"]}
    assert any(word.startswith("certificate") for word in words)
    db = ["--db", folder / "i.db"]
    by_id = web.ask("/v1/get", {"ids": [first["id"]]})
    assert by_id[2] == qrank("get", first["id"], "--json", *db).json()
    of_file = web.ask("/v1/get", {"path": first["path"], "from_line": first["start_line"]})[2]
    assert of_file["chunks"][0]["id"] == first["id"]
    place = f"{first['path']}:{first['start_line']}"
    printed = qrank("similar", place, "--json", *db).json()
    assert without_times(web.ask("/v1/similar", {"place": place})[2]) == without_times(printed)
    held, other = web.ask("/v1/status")[2], qrank("status", "--json", *db).json()
    assert {**held, "cached": 0, "bytes": 0} == {**other, "cached": 0, "bytes": 0}


def test_other_programs_get_scores_and_vectors(web: Web, qrank: Qrank) -> None:
    texts = ["the tide is high", "owls hunt at night", "a tide table"]
    own = {
        line["text"]: line["score"]
        for line in qrank(
            *("rerank", "tide", "--jsonl", "--rerank-model", "tiny"), stdin="\n".join(texts)
        ).lines()
    }
    asked = {"query": "tide", "documents": [texts[0], {"text": texts[1]}, texts[2]], "top_n": 2}
    answer = web.ask("/v1/rerank", {**asked, "model": "tiny", "return_documents": True})[2]
    got = {r["document"]["text"]: r["relevance_score"] for r in answer["results"]}
    assert got == pytest.approx(dict([*own.items()][:2]), rel=1e-3)
    once, again = (
        web.ask("/v1/rerank", {"query": "tide", "documents": texts[:1] * n, "model": "tiny"})[2]
        for n in (1, 3)
    )
    more = again["usage"]["total_tokens"] - once["usage"]["total_tokens"]
    assert 0 < more < 2 * once["usage"]["total_tokens"]  # the prompt's beginning is read once
    # Another qrank is such a program.
    remote = qrank(
        *("rerank", "tide", "--jsonl", "--rerank-model", web.url),
        stdin="\n".join(texts),
        QRANK_API_KEY=web.token,
        no_proxy="*",
    )
    assert {r["text"]: r["score"] for r in remote.lines()} == pytest.approx(own, rel=1e-3)

    vectors = [r["embedding"] for r in qrank("embed", stdin="\n".join(texts)).lines()]
    answer = web.ask("/v1/embeddings", {"input": texts})[2]
    assert [row["index"] for row in answer["data"]] == [0, 1, 2]
    for row, vector in zip(answer["data"], vectors, strict=True):
        assert row["embedding"] == pytest.approx(vector, abs=1e-3)
    model = load_embedder(Registry().resolve(Role.embedder, "tiny"), ANYWHERE)
    before = tokens_read()
    model.documents(texts)
    read = tokens_read() - before
    model.close()
    assert read > sum(len(text.split()) for text in texts)
    assert answer["usage"] == {"prompt_tokens": read, "total_tokens": read}
    packed = {"input": texts[0], "encoding_format": "base64", "dimensions": 8}
    data = web.ask("/v1/embeddings", packed)[2]["data"][0]["embedding"]
    assert len(base64.b64decode(data)) == 32
    remote = qrank(
        *("embed", "--embed-model", web.url),
        stdin="\n".join(texts),
        QRANK_API_KEY=web.token,
        no_proxy="*",
    )
    for line, vector in zip(remote.lines(), vectors, strict=True):
        assert line["embedding"] == pytest.approx(vector, abs=1e-3)


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v1/search", {}, 400, "has no 'query'"),
        ("/v1/search", {"query": " "}, 400, "the query is empty"),
        ("/v1/search", {"query": []}, 400, "query"),
        ("/v1/search", {"query": "tea", "limit": 0}, 400, "limit must be a number from 1"),
        ("/v1/search", {"query": "tea", "limit": True}, 400, "limit must be of type integer"),
        ("/v1/search", {"query": "tea", "colour": 1}, 400, "no field 'colour'; use budget"),
        ("/v1/search", {"query": "tea", "mode": "magic"}, 400, "mode must be one of hybrid"),
        ("/v1/search", {"query": "tea", "since": "soon"}, 400, "since takes a date"),
        ("/v1/search", {"query": "tea", "since": "2024-13-01"}, 400, "since takes a date"),
        ("/v1/search", {"query": "tea", "regex": "("}, 400, "not a valid regular expression"),
        ("/v1/search", {"query": "", "links_to": "/etc/passwd"}, 400, "is not in the index"),
        ("/v1/search", {"query": "\ud800"}, 400, "not valid Unicode"),
        ("/v1/search", {"query": "tea", "db": "i.db"}, 400, "db must match"),
        ("/v1/search", {"query": "tea", "db": "/nowhere/i.db"}, 404, "there is no index"),
        ("/v1/search", {"query": "tea", "db": str(SAMPLE / "README.md")}, 404, ""),
        ("/v1/search", {"query": "tea", "embed_model": "/etc/passwd"}, 400, "must match"),
        ("/v1/search", {"query": "tea", "rerank_model": "http://evil"}, 400, "must match"),
        ("/v1/search", {"query": "tea", "rerank_model": "nobody"}, 404, "unknown reranker"),
        ("/v1/search", [1], 400, "must be of type object"),
        ("/v1/search", b"{", 400, "not valid JSON"),
        ("/v1/search", b"[" * 100_000, 400, "not valid JSON"),
        ("/v1/search", b'{"query": "tea", "budget": NaN}', 400, "budget must be a number"),
        ("/v1/get", {"ids": ["999999"]}, 404, "there is no chunk"),
        ("/v1/get", {"path": "/etc/passwd"}, 404, "is not in the index"),
        ("/v1/get", {"path": f"{SAMPLE}/howto/../../../../../../etc/passwd"}, 404, "not in the"),
        ("/v1/get", {}, 400, "give either ids or path"),
        ("/v1/similar", {"place": "/etc/passwd:1"}, 404, "is not in the index"),
        ("/v1/rerank", {"query": "", "documents": ["a"]}, 400, "the query is empty"),
        ("/v1/embeddings", {"input": "a", "dimensions": 4096}, 400, "out of range"),
        ("/v1/embeddings", {"input": [[1, 2]]}, 400, "must be of type string"),
    ],
)
def test_what_is_wrong_is_a_problem_document(
    web: Web, path: str, body: Any, status: int, said: str
) -> None:
    got, headers, problem = web.ask(path, body)
    assert (got, problem["status"]) == (status, status), problem
    assert headers["content-type"] == "application/problem+json"
    assert said in problem["detail"]
    assert "root:" not in json.dumps(problem)


def test_other_methods_types_and_addresses_are_refused(web: Web) -> None:
    assert web.ask("/v1/search", method="PUT")[:1] == (405,)
    assert web.ask("/v1/search", method="OPTIONS")[0] == 405  # nobody gets leave to ask from afar
    assert web.ask("/nothing")[0] == 404
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        status, _, problem = web.ask("/v1/search", {"query": "tea"}, Content_Type=kind)
        assert (status, problem["detail"]) == (415, "send JSON, as Content-Type: application/json")


def test_a_symlink_that_leads_out_of_the_index_shows_nothing(folder: Path, qrank: Qrank) -> None:
    notes = folder / "linked"
    notes.mkdir()
    (notes / "a.pdf").write_bytes(one_page("a page about the tide"))
    qrank("index", notes, "--no-embed", "--db", folder / "linked.db")
    with web_server.serving(folder / "linked.db", folder / "token") as web:
        [found] = web.ask("/v1/search", {"query": "tide", "mode": "bm25"})[2]["results"]
        picture = f"/page/picture?id={found['id']}&page=1"
        status, headers, data = web.ask(picture)
        assert (status, headers["content-type"], data[:4]) == (200, "image/png", b"\x89PNG")
        assert web.ask(f"/page/picture?id={found['id']}&page=2")[0] == 404
        other = folder / "secret.pdf"
        other.write_bytes(one_page("a secret"))
        (notes / "a.pdf").unlink()
        (notes / "a.pdf").symlink_to(other)
        status, _, problem = web.ask(picture)
        assert (status, "has changed since" in problem["detail"]) == (404, True)


# Who is let in


@pytest.mark.parametrize("path", ADDRESSES)
def test_nothing_is_answered_without_the_token(web: Web, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        for token in (None, "x", web.token[:-1], web.token + "x"):
            status, headers, problem = web.ask(path, method=method, token=token)
            assert (status, problem["status"]) == (401, 401), (method, token)
            assert "access-control-allow-origin" not in headers


def test_health_needs_no_token(web: Web) -> None:
    assert web.ask("/healthz", token=None)[::2] == (200, {"ok": True})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:8420"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "localhost.evil.example"}, 421),
        ({"Host": "evil@127.0.0.1"}, 421),
        ({"Host": ""}, 421),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),  # another port
        ({"Origin": "http://evil.example", "Sec_Fetch_Site": "same-origin"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),  # another port of this machine
        ({"Sec_Fetch_Site": "none"}, 200),
    ],
)
@pytest.mark.parametrize("path", ["/healthz", "/v1/status"])
def test_a_page_elsewhere_gets_nothing(
    web: Web, path: str, headers: dict[str, str], status: int
) -> None:
    """A web page that the user looks at, also by a name that its owner points to this machine."""
    got, said, _ = web.ask(path, **headers)
    assert got == status
    assert "access-control-allow-origin" not in said


def test_its_own_page_may_ask(web: Web) -> None:
    own = {"Origin": f"http://127.0.0.1:{web.port}", "Sec_Fetch_Site": "same-origin"}
    assert web.ask("/v1/status", **own)[0] == 200


def test_a_code_opens_the_page_once(web: Web) -> None:
    assert web.ask("/", token=None)[::2][0] == 401
    assert web.ask("/?code=guess", token=None)[0] == 401
    code = web.ask("/v1/open", b"{}")[2]["code"]
    status, headers, _ = web.ask(f"/?code={code}", token=None)
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert web.ask(f"/?code={code}", token=None)[0] == 401
    value = cookie.partition(";")[0]
    assert web.ask("/", token=None, Cookie=value)[0] == 200
    assert web.ask("/v1/status", token=None, Cookie=value)[0] == 200
    for wrong in (value[:-1], value + "0", "qrank=", "qrank=9999999999.x.y", "qrank=\xe9"):
        assert web.ask("/v1/status", token=None, Cookie=wrong)[0] == 401
    evil = {"Cookie": value, "Origin": "http://evil.example"}
    assert web.ask("/v1/search", {"query": "tide"}, token=None, **evil)[0] == 403


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs another user's file")
def test_an_index_of_another_user_is_not_used(folder: Path, web: Web) -> None:
    other = folder / "other.db"
    other.write_bytes((folder / "i.db").read_bytes())
    os.chown(other, 12345, 12345)
    status, _, problem = web.ask("/v1/search", {"query": "tide", "db": str(other)})
    assert (status, "belongs to another user" in problem["detail"]) == (403, True)


def test_an_index_that_is_gone_or_damaged_is_said(folder: Path, web: Web) -> None:
    copy = folder / "copy.db"
    copy.write_bytes((folder / "i.db").read_bytes())
    asked = {"query": "certificate", "mode": "bm25", "db": str(copy)}
    assert web.ask("/v1/search", asked)[0] == 200
    copy.unlink()
    assert web.ask("/v1/search", asked)[::2][0] == 404
    copy.write_bytes(b"x" * 10_000)
    status, _, problem = web.ask("/v1/search", asked)
    assert (status, "copy.db" in problem["detail"]) == (404, True)
    assert web.ask("/v1/search", asked | {"db": str(folder / "i.db")})[0] == 200


def test_a_model_that_is_gone_is_said_and_so_is_a_fault(
    folder: Path, web: Web, qrank: Qrank, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tea.md").write_text("green tea")
    (folder / "model.gguf").write_bytes((TINY / "tiny-embedding.gguf").read_bytes())
    words = ("--embed-model", folder / "model.gguf", "--db", folder / "model.db")
    assert qrank("index", folder / "tea.md", *words).returncode == 0
    (folder / "model.gguf").unlink()
    asked = {"query": "tea", "mode": "vector", "db": str(folder / "model.db")}
    status, _, problem = web.ask("/v1/search", asked)
    assert (status, "model.gguf" in problem["detail"]) == (503, True), problem

    def broken(_self: Index) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(Index, "status", broken)
    status, _, problem = web.ask("/v1/status")
    assert (status, "secret" in problem["detail"]) == (500, False)


# What it takes


def raw(web: Web, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", web.port), timeout=60)
    connection.sendall(data)
    return connection


def head(web: Web, more: str) -> bytes:
    said = f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {web.token}\r\n"
    return f"{said}Content-Type: application/json\r\n{more}\r\n\r\n".encode()


def test_a_body_of_100_mb_is_refused(web: Web) -> None:
    with raw(web, head(web, "Content-Length: 100000000")) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")
    with raw(web, head(web, "Transfer-Encoding: chunked")) as connection:
        part = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        try:
            for _ in range(100):
                connection.sendall(part)
        except OSError:
            pass  # it is closed before the end
        else:
            assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")
    assert web.ask("/healthz")[0] == 200


def test_clients_that_are_slow_or_half_open_are_left(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(run, "REQUEST_SECONDS", 0.3)
    with raw(web, head(web, "Content-Length: 100")) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
    for begun in (b"", b"POST /v1/search HTTP/1.1\r\nHost: local"):
        with raw(web, begun) as connection, suppress(ConnectionResetError):
            assert connection.recv(4096) == b""


def test_thousands_of_connections_leave_room_for_a_request(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MOST_CONNECTIONS", 20)
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(raw(web, b"GET / HTTP/1.1\r\n"))
        assert web.ask("/v1/search", {"query": "tide", "mode": "bm25"})[0] == 200


def test_a_client_that_goes_away_ends_its_work(web: Web) -> None:
    texts = [f"text {i} of the tide " + "and so on " * 600 for i in range(2000)]
    body = json.dumps({"query": "tide", "documents": texts, "model": "tiny"}).encode()
    said = head(web, f"Content-Length: {len(body)}").replace(b"/v1/search", b"/v1/rerank")
    with raw(web, said + body):
        wait_until(web.is_busy)
    wait_until(lambda: not web.is_busy())  # all of it takes far longer


# What others make of it


def test_mcp_is_there_too(web: Web) -> None:
    mcp = pytest.importorskip("mcp", reason="needs the extra qrank[mcp]")
    from mcp.client.streamable_http import streamable_http_client

    httpx = pytest.importorskip("httpx2")

    async def talk(mode: str, token: str) -> str:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(headers=headers, timeout=60, trust_env=False) as client:
            transport = streamable_http_client(f"{web.url}/mcp", http_client=client)
            async with mcp.Client(transport, mode=mode) as session:
                result = await session.call_tool("search", {"query": "certificate", "mode": "bm25"})
                return str(result.content[0].text)

    for mode in ("legacy", "auto"):
        assert "tls-renewal" in asyncio.run(talk(mode, web.token))
    with pytest.raises(BaseException, match=r"401|Unauthorized|unhandled errors"):
        asyncio.run(talk("legacy", "wrong"))


def test_the_api_is_as_it_is_described(web: Web, tmp_path: Path) -> None:
    """schemathesis makes requests from the description, and compares the answers with it."""
    pytest.importorskip("schemathesis", reason="it checks the description in CI")
    command = Path(sys.executable).parent / "schemathesis"
    done = subprocess.run(
        [
            *(
                command,
                "run",
                f"{web.url}/openapi.json",
                "-H",
                f"Authorization: Bearer {web.token}",
            ),
            *("--max-examples", "6", "--phases", "coverage,fuzzing", "--seed", "1"),
            *("--request-timeout", "120", "--no-color"),
            # A text without a word in it is right by the schema, and still no query.
            *("--exclude-checks", "positive_data_acceptance"),
        ],
        cwd=tmp_path,
        env=clean_environment(tmp_path) | {"no_proxy": "*"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]


def test_every_field_of_a_search_is_described() -> None:
    for schema in (schemas.SEARCH, schemas.SIMILAR, schemas.GET, schemas.RERANK):
        for name, field in schema["properties"].items():
            assert field["description"], name
