"""A server of models on loopback, in every form that qrank speaks, that can be slow, busy, wrong.

Vectors and scores are simple functions of the text, so that a test knows them. Forms: OpenAI's
/v1/embeddings, /v1/models and chat completions; Jina's /v1/rerank; TEI's /rerank.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import loopback

DIMS = 16


def vector(text: str, dims: int = DIMS) -> list[float]:
    """A vector of a text, not of unit length."""
    digest = hashlib.blake2b(text.encode(), digest_size=dims).digest()
    return [byte / 64 - 2 for byte in digest]


def logit(query: str, text: str) -> float:
    """How relevant a text is: its share of the query's words."""
    words = set(query.lower().split())
    return 8.0 * len(words & set(text.lower().replace(".", "").split())) / len(words) - 4.0


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


@dataclass
class ModelServer:
    """How the server behaves, and what it was asked."""

    url: str = ""
    rerank: str = "jina"  # jina, tei, chat, or none
    models: list[str] = field(default_factory=lambda: ["some-model"])
    dims: int = DIMS
    logits: bool = False  # scores as logits instead of probabilities
    delay: float = 0.0  # seconds a request takes, one after another as on one device
    most: int = 1000  # texts that it takes at once, else 413
    key: str = ""
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # answered first
    spoil: Callable[[Any], Any] = lambda answer: answer  # what becomes of a right answer
    page: bool = False
    asked: list[tuple[str, Any]] = field(default_factory=list)  # (path, body)
    turn: threading.Lock = field(default_factory=threading.Lock)
    answers: int | None = None  # that it gives before it holds the next one back
    holding: threading.Event = field(default_factory=threading.Event)  # it does
    go_on: threading.Event = field(default_factory=threading.Event)  # it need not any more

    def hold(self) -> None:
        """Wait for go_on when all answers are given."""
        if self.answers == 0:
            self.holding.set()
            self.go_on.wait(300)
        elif self.answers is not None:
            self.answers -= 1


class _Handler(loopback.Handler):
    state: ModelServer

    def do_GET(self) -> None:
        self.state.asked.append((self.path, None))
        if self.path == "/v1/models" and not self.state.page:
            self._send(200, {"data": [{"id": name} for name in self.state.models]})
        else:
            self._send(404, {"error": "no such path"})

    def do_POST(self) -> None:
        state = self.state
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        state.asked.append((self.path, body))
        if state.key and self.headers.get("Authorization") != f"Bearer {state.key}":
            self._send(401, {"error": "who are you?"})
        elif state.statuses:
            status, headers = state.statuses.pop(0)
            self._send(status, {"error": "not now"}, headers)
        elif state.page:
            self._send(200, "<html>Please log in</html>")
        else:
            with state.turn:
                time.sleep(state.delay)
                state.hold()
            self._answer(body)

    def _answer(self, body: Any) -> None:
        state = self.state
        if self.path == "/v1/embeddings":
            texts = body["input"]
            rows = [{"index": i, "embedding": vector(t, state.dims)} for i, t in enumerate(texts)]
            self._many(texts, {"data": rows[::-1]})  # in no particular order
        elif self.path == "/v1/rerank" and state.rerank == "jina":
            scores = self._scores(body["query"], body["documents"])
            rows = [{"index": i, "relevance_score": s} for i, s in enumerate(scores)]
            self._many(body["documents"], {"results": rows[::-1]})
        elif self.path == "/rerank" and state.rerank == "tei":
            if "texts" not in body:
                self._send(422, {"error": "missing field `texts`"})
                return
            scores = self._scores(body["query"], body["texts"])
            rows = [{"index": i, "score": s} for i, s in enumerate(scores)]
            self._many(body["texts"], rows[::-1])
        elif self.path == "/v1/chat/completions" and state.rerank == "chat":
            self._chat(body)
        else:
            self._send(404, {"error": "no such path"})

    def _scores(self, query: str, texts: list[str]) -> list[float]:
        found = [logit(query, text) for text in texts]
        return found if self.state.logits else [sigmoid(value) for value in found]

    def _chat(self, body: Any) -> None:
        user = body["messages"][1]["content"]
        query = user.partition("<Query>: ")[2].partition("\n<Document>: ")[0]
        value = logit(query, user.partition("\n<Document>: ")[2])
        yes, no = math.log(sigmoid(value) * 0.9), math.log(sigmoid(-value) * 0.9)
        tops = [{"token": "yes", "logprob": yes}, {"token": "no", "logprob": no}]
        first = {"token": "yes", "logprob": yes, "top_logprobs": tops}
        self._many([user], {"choices": [{"logprobs": {"content": [first]}}]})

    def _many(self, texts: list[str], answer: Any) -> None:
        if len(texts) > self.state.most:
            self._send(413, {"error": "batch size exceeded"})
        else:
            self._send(200, self.state.spoil(answer))

    def _send(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def running(**behaviour: Any) -> Iterator[ModelServer]:
    """A server on a free port of loopback."""
    state = ModelServer(**behaviour)
    with loopback.serving(type("Handler", (_Handler,), {"state": state})) as state.url:
        try:
            yield state
        finally:
            state.go_on.set()
