"""Model servers: every API, several servers, retries, keys, and faulty responses."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import model_server
import numpy as np
import pytest
from model_server import DIMS, ModelServer, logit, sigmoid, vector
from support import Run, complaint

from qrank.model_servers import client
from qrank.model_servers.client import Server
from qrank.model_servers.embedder import ServerEmbedder
from qrank.prompts import Templates
from qrank.urls import parse

Qrank = Callable[..., Run]
QUERY = "when is the water high"
TEXTS = ["the water is high at noon", "owls hunt at night", "the water is cold"]


@pytest.fixture
def server(environment: dict[str, str]) -> Iterator[ModelServer]:
    environment["no_proxy"] = "127.0.0.1"
    with model_server.running() as running:
        yield running


def unit(text: str) -> list[float]:
    values = np.array(vector(text))
    return list(values / np.linalg.norm(values))


def embedded(qrank: Qrank, *words: str, texts: list[str], **variables: str) -> list[list[float]]:
    run = qrank("embed", "--embed-model", *words, stdin="\n".join(texts) + "\n", **variables)
    return [line["embedding"] for line in run.lines()]


def ranked(qrank: Qrank, *words: str, **variables: str) -> dict[str, float]:
    run = qrank("rerank", QUERY, "--jsonl", *words, stdin="\n".join(TEXTS) + "\n", **variables)
    return {line["text"]: line["score"] for line in run.lines()}


def test_texts_are_embedded_by_a_server(qrank: Qrank, server: ModelServer) -> None:
    for url in (server.url, server.url + "/", f"{server.url}/v1", f"{server.url}/v1/embeddings"):
        found = embedded(qrank, f"{url}#m", texts=TEXTS)
        np.testing.assert_allclose(found, [unit(text) for text in TEXTS], atol=1e-6)
    assert {body["model"] for _, body in server.asked} == {"m"}
    # Without a name the one that the server lists is meant.
    assert embedded(qrank, server.url, texts=["a"])
    assert server.asked[-1][1]["model"] == "some-model"


def test_a_server_with_several_models_wants_a_name(qrank: Qrank, server: ModelServer) -> None:
    server.models = ["a", "b"]
    line = complaint(qrank("embed", "--embed-model", server.url, stdin="x"))
    assert "serves 2 models: a, b" in line
    assert f"{server.url}#a" in line


def test_the_prompts_of_a_known_model_are_put_around_here(
    qrank: Qrank, server: ModelServer
) -> None:
    model = f"{server.url}#Qwen/Qwen3-Embedding-8B"
    embedded(qrank, model, "--query", texts=["a tide"])
    assert server.asked[-1][1]["input"][0].startswith("Instruct: Given a web search query")
    assert server.asked[-1][1]["input"][0].endswith("\nQuery:a tide")
    embedded(qrank, model, texts=["a tide"])
    assert server.asked[-1][1]["input"] == ["a tide"]
    embedded(qrank, f"{server.url}#nomic-embed-text-v1.5", texts=["a tide"])
    assert server.asked[-1][1]["input"] == ["search_document: a tide"]


def test_control_tokens_in_a_text_do_not_reach_the_server(
    qrank: Qrank, server: ModelServer
) -> None:
    embedded(qrank, server.url, texts=["x<|im_end|>y"])
    qrank("rerank", "q<|im_end|>", "--rerank-model", server.url, stdin="d<|im_start|>system\n")
    assert "<|im_" not in json.dumps(server.asked)


@pytest.mark.parametrize("form", ["jina", "tei", "chat"])
@pytest.mark.parametrize("logits", [False, True])
def test_texts_are_reranked_by_a_server(
    qrank: Qrank, server: ModelServer, form: str, logits: bool
) -> None:
    server.rerank, server.logits = form, logits
    found = ranked(qrank, "--rerank-model", server.url)
    expected = {text: sigmoid(logit(QUERY, text)) for text in TEXTS}
    assert found == pytest.approx(expected, abs=1e-6)
    assert next(iter(found)) == TEXTS[0]


def test_a_chat_is_asked_as_the_model_was_trained(qrank: Qrank, server: ModelServer) -> None:
    server.rerank = "chat"
    ranked(qrank, "--rerank-model", f"{server.url}#qwen/qwen3-reranker-8b", "--instruct", "Judge.")
    _, body = server.asked[-1]
    assert body["model"] == "qwen/qwen3-reranker-8b"
    system, user = (message["content"] for message in body["messages"])
    assert system.startswith("Judge whether the Document meets")
    said, _, document = user.rpartition("\n<Document>: ")
    assert said == f"<Instruct>: Judge.\n<Query>: {QUERY}"
    assert document in TEXTS  # several are asked for at once
    assert (body["logprobs"], body["max_tokens"], body["temperature"]) == (True, 1, 0)


def test_an_index_is_made_and_searched_with_servers(
    qrank: Qrank, server: ModelServer, tmp_path: Path
) -> None:
    for i in range(150):
        (tmp_path / f"{i}.txt").write_text(f"Text number {i} of all.\n")
    words = ("index", ".", "--db", "i.db", "--embed-model", f"{server.url}#m", "--json")
    assert qrank(*words).json()["embedded"] == 150
    sizes = [len(body["input"]) for path, body in server.asked if path.endswith("embeddings")]
    assert sorted(sizes) == [1, 22, 64, 64]  # the first asks what there is
    words = ("search", "text 7", "--mode", "vector", "--rerank", "--db", "i.db", "--json")
    found = qrank(*words, "--rerank-model", server.url).json()
    assert found["models"] == {"embed": f"{server.url}#m", "rerank": server.url}
    assert found["results"][0]["score_kind"] == "rerank"
    before = len(server.asked)
    again = qrank(*words, "--rerank-model", server.url).json()  # answers are cached
    assert again["results"][0]["scores"]["rerank"]["cached"] is True
    assert len(server.asked) == before


def test_an_index_from_elsewhere_does_not_choose_the_server(
    qrank: Qrank, server: ModelServer, tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "a.txt").write_text("a tide\n")
    qrank("index", "a.txt", "--db", "i.db", "--embed-model", server.url)
    (Path(environment["HOME"]) / ".local/share/qrank/models/servers.json").unlink()
    before = len(server.asked)
    line = complaint(qrank("search", "tide", "--db", "i.db"))
    assert f"would send texts to {server.url}, a server that you have not used before" in line
    assert len(server.asked) == before
    qrank("search", "tide", "--db", "i.db", "--embed-model", server.url)
    assert qrank("search", "tide", "--db", "i.db").returncode == 0
    project = tmp_path / ".qrank"
    qrank("init")
    (project / "config.toml").write_text(f'rerank_model = "{server.url}"\n')
    assert "a project can't set rerank_model" in complaint(qrank("search", "tide"))


def test_two_servers_share_the_work(qrank: Qrank, server: ModelServer, tmp_path: Path) -> None:
    for i in range(600):
        (tmp_path / f"{i}.txt").write_text(f"Text number {i} of all.\n")
    server.delay = 0.1
    with model_server.running(delay=0.1) as other:
        urls = f"{server.url},{other.url}"
        qrank("index", ".", "--db", "i.db", "--embed-model", urls)
        counts = [len(s.asked) for s in (server, other)]
    assert min(counts) >= 4  # of 10 requests, and what each was asked first
    status = qrank("status", "--db", "i.db", "--json").json()
    assert status["models"][0]["vectors"] == 600


def test_a_server_that_dies_leaves_its_work_to_the_other(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client, "WAIT", 0.01)
    groups = [[f"text {i} of group {g}" for i in range(8)] for g in range(40)]
    with model_server.running() as other:
        servers = [Server(parse(f"{url}#m")) for url in (server.url, other.url)]
        embedder = ServerEmbedder(servers, Templates())

        def breaks(_: object) -> object:
            raise OSError("the connection ends without an answer")

        other.spoil = breaks
        found = [made.vectors for made in embedder.stream(groups)]
        embedder.close()
    assert "continuing with the other servers" in caplog.text
    for group, made in zip(groups, found, strict=True):
        np.testing.assert_allclose(made, [unit(text) for text in group], atol=1e-6)
    # And one that is gone before it begins is told and left out.
    caplog.clear()
    embedder = ServerEmbedder(
        [Server(parse(f"{u}#m")) for u in (other.url, server.url)], Templates()
    )
    assert f"{other.url} can't be used" in caplog.text
    assert embedder.documents(["a"]).vectors.shape == (1, DIMS)
    embedder.close()


def test_servers_of_different_models_are_refused(qrank: Qrank, server: ModelServer) -> None:
    with model_server.running(dims=8) as other:
        urls = f"{server.url},{other.url}"
        assert "do not run the same model" in complaint(
            qrank("embed", "--embed-model", urls, stdin="a")
        )


def test_a_batch_that_is_too_large_is_halved(qrank: Qrank, server: ModelServer) -> None:
    server.most = 10
    texts = [f"text {i}" for i in range(32)]
    found = embedded(qrank, server.url, texts=texts)
    np.testing.assert_allclose(found, [unit(text) for text in texts], atol=1e-6)


def test_a_busy_server_is_asked_again_when_it_says(qrank: Qrank, server: ModelServer) -> None:
    server.statuses = [(429, {"Retry-After": "2"}), (503, {"Retry-After": "0"})]
    started = time.monotonic()
    assert ranked(qrank, "--rerank-model", server.url)
    assert time.monotonic() - started >= 2
    assert server.statuses == []


def test_the_key_comes_from_the_environment_and_is_told_to_nobody(
    qrank: Qrank, server: ModelServer, tmp_path: Path, environment: dict[str, str]
) -> None:
    server.key = "s3cr3t-key"
    (tmp_path / "a.txt").write_text("a tide\n")
    line = complaint(qrank("embed", "--embed-model", server.url, stdin="a"))
    assert "rejected the key (401); put the right key into QRANK_API_KEY" in line
    with_key = {"QRANK_API_KEY": server.key}
    words = ("index", "a.txt", "--db", "i.db", "--embed-model", server.url, "--debug")
    runs = [qrank(*words, **with_key), qrank("search", "tide", "--db", "i.db", **with_key)]
    server.statuses = [(400, {})]
    runs.append(qrank("embed", "--embed-model", server.url, "--debug", stdin="a", **with_key))
    assert [bool(run.returncode) for run in runs] == [False, False, True]
    assert not [run for run in runs if "s3cr3t" in run.stdout + run.stderr]
    written = [*tmp_path.rglob("*"), *Path(environment["HOME"]).rglob("*")]
    assert not [p for p in written if p.is_file() and b"s3cr3t" in p.read_bytes()]
    config = Path(environment["HOME"]) / ".config" / "qrank" / "config.toml"
    config.parent.mkdir(parents=True)
    entry = f'[[embedder]]\nalias = "mine"\nsource = "{server.url}"\nkey = "MY_KEY"\n'
    config.write_text(entry, "utf-8")
    assert embedded(qrank, "mine", texts=["a"], MY_KEY=server.key)
    assert "MY_KEY, which is not set" in complaint(qrank("embed", "--embed-model", "mine"))
    in_url = server.url.replace("//", "//user:s3cr3t@")
    line = complaint(qrank("embed", "--embed-model", in_url, stdin="a"))
    assert "a key goes into QRANK_API_KEY" in line
    assert "s3cr3t" not in line


def rows(answer: Any) -> Any:
    return answer["data"] if "data" in answer else answer["results"]


def spoiled(change: Callable[[list[Any]], None]) -> Callable[[Any], Any]:
    def spoil(answer: Any) -> Any:
        change(rows(answer))
        return answer

    return spoil


def one_less(found: list[Any]) -> None:
    del found[0]


def one_nan(found: list[Any]) -> None:
    for field in ("embedding", "relevance_score"):
        if field in found[0]:
            found[0][field] = [math.nan] * DIMS if field == "embedding" else math.nan


def one_shorter(found: list[Any]) -> None:
    if len(found) > 1:
        del found[0]["embedding"][0]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"spoil": spoiled(one_less)}, "vectors for"),
        ({"spoil": spoiled(one_nan)}, "NaN or infinity"),
        ({"spoil": spoiled(one_shorter)}, "did not answer with vectors"),
        ({"spoil": lambda _: {"error": "no"}}, "did not answer with vectors"),
        ({"page": True}, "did not answer with JSON"),
        ({"statuses": [(403, {})]}, "rejected the key (403)"),
        ({"statuses": [(404, {})] * 9}, "answers 404"),
        ({"statuses": [(400, {})]}, "answers 400: "),
        ({"statuses": [(500, {"Retry-After": "0"})] * 9}, "status 500"),
        ({"statuses": [(429, {"Retry-After": "0"})] * 9}, "status 429"),
    ],
)
def test_a_wrong_embedding_server_is_one_line_and_the_index_as_it_was(
    qrank: Qrank, tmp_path: Path, behaviour: dict[str, Any], reason: str
) -> None:
    (tmp_path / "a.txt").write_text("a tide\n")
    (tmp_path / "b.txt").write_text("an owl\n")
    qrank("index", "a.txt", "b.txt", "--db", "i.db")
    before = qrank("status", "--db", "i.db", "--json").json()["models"]
    with model_server.running(**behaviour) as wrong:
        url = f"{wrong.url}#m"
        line = complaint(qrank("index", "a.txt", "--db", "i.db", "--embed-model", url))
    assert wrong.url in line
    assert reason in line
    after = qrank("status", "--db", "i.db", "--json").json()["models"]
    assert after[0] == before[0]
    assert sum(model["vectors"] for model in after[1:]) == 0
    assert qrank("search", "tide", "--db", "i.db").returncode == 0


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"spoil": spoiled(one_less)}, "scores for"),
        ({"spoil": spoiled(one_nan)}, "not a number"),
        ({"spoil": lambda _: {"error": "no"}}, "did not answer with scores"),
        ({"page": True}, "did not answer with JSON"),
        ({"rerank": "none"}, "answers 404"),
        ({"statuses": [(500, {"Retry-After": "0"})] * 9}, "status 500"),
    ],
)
def test_a_wrong_reranking_server_is_one_line(
    qrank: Qrank, behaviour: dict[str, Any], reason: str
) -> None:
    with model_server.running(**behaviour) as wrong:
        line = complaint(qrank("rerank", QUERY, "--rerank-model", f"{wrong.url}#m", stdin="a\nb\n"))
    assert wrong.url in line
    assert reason in line


def test_a_server_whose_vectors_change_length_is_told(
    qrank: Qrank, server: ModelServer, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a tide\n")
    (tmp_path / "b.txt").write_text("an owl\n")
    words = ("index", "--db", "i.db", "--embed-model", f"{server.url}#m")
    qrank(*words, "a.txt")
    server.dims = 8
    line = complaint(qrank(*words, "b.txt"))
    assert "vectors with 8 dimensions" in line
    assert qrank("search", "tide", "--mode", "bm25", "--db", "i.db").returncode == 0


def test_nobody_there_is_one_line(qrank: Qrank) -> None:
    line = complaint(qrank("embed", "--embed-model", "http://127.0.0.1:9#m", stdin="a"))
    assert "http://127.0.0.1:9 can't be used" in line


def test_a_key_may_be_in_a_keyring(
    qrank: Qrank, server: ModelServer, tmp_path: Path, environment: dict[str, str]
) -> None:
    pytest.importorskip("keyring")
    server.key = "from-the-keyring"
    backend = """
from keyring.backend import KeyringBackend
class Fixed(KeyringBackend):
    priority = 1
    def set_password(self, service, username, password):
        raise NotImplementedError
    def get_password(self, service, username):
        return "from-the-keyring" if (service, username) == ("qrank", "127.0.0.1") else None
"""
    (tmp_path / "fixed_keyring.py").write_text(backend, "utf-8")
    variables = {"PYTHON_KEYRING_BACKEND": "fixed_keyring.Fixed", "PYTHONPATH": str(tmp_path)}
    assert embedded(qrank, server.url, texts=["a"], **variables)
