"""(query, texts) -> P(relevant), by servers: /rerank in its two forms, or chat completions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from qrank import prompts
from qrank.errors import InputError
from qrank.model_servers.client import Server, ServerError
from qrank.model_servers.pool import reachable, spread
from qrank.prompts import escape_control_tokens

# A question with its answer and with something else: how a server is asked, and whether it gives
# probabilities or logits, is seen from what it says to them.
PROBE = ("when is the water high", ["The tide is high twice a day.", "Owls hunt at night."])
NOT_HERE = (400, 404, 405, 422, 501)


class Api(Protocol):
    """A form of request and answer."""

    endpoint: str
    batch: int  # texts in a request
    in_flight: int  # requests a server at once
    applies_prompt: bool  # whether the server puts the model's prompt around the texts

    def body(self, query: str, texts: Sequence[str], instruction: str | None) -> dict[str, Any]:
        """The request, without the model's name."""

    def read(self, answer: Any) -> dict[int, float]:
        """Scores by place. Raises KeyError, TypeError or ValueError for another form."""


class Jina:
    """Jina's and Cohere's /rerank, also vLLM's, Infinity's and llama.cpp's."""

    endpoint, batch, in_flight, applies_prompt = "rerank", 8, 2, True

    def body(self, query: str, texts: Sequence[str], instruction: str | None) -> dict[str, Any]:
        """The request."""
        return {"query": query, "documents": list(texts), "top_n": len(texts)}

    def read(self, answer: Any) -> dict[int, float]:
        """The scores."""
        return {int(r["index"]): float(r["relevance_score"]) for r in answer["results"]}


class Tei:
    """/rerank of Hugging Face's Text Embeddings Inference."""

    endpoint, batch, in_flight, applies_prompt = "rerank", 8, 2, True

    def body(self, query: str, texts: Sequence[str], instruction: str | None) -> dict[str, Any]:
        """The request."""
        return {"query": query, "texts": list(texts), "truncate": True}

    def read(self, answer: Any) -> dict[int, float]:
        """The scores."""
        return {int(r["index"]): float(r["score"]) for r in answer}


class Chat:
    """A chat completion of one token: P(yes) out of the log-probabilities of yes and no.

    Source: the model card of Qwen3-Reranker; OpenAI's chat completions (logprobs, top_logprobs).
    """

    endpoint, batch, in_flight, applies_prompt = "chat/completions", 1, 4, False

    def body(self, query: str, texts: Sequence[str], instruction: str | None) -> dict[str, Any]:
        """The request; the empty think block is the template's (enable_thinking)."""
        start, end = prompts.rerank_question(query, instruction)
        user = start + end + prompts.rerank_document(texts[0])
        return {
            "messages": [
                {"role": "system", "content": prompts.RERANK_SYSTEM},
                {"role": "user", "content": user},
            ],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": 20,
            "chat_template_kwargs": {"enable_thinking": False},
        }

    def read(self, answer: Any) -> dict[int, float]:
        """P(yes); a word that is not among the likeliest is as likely as the last of them."""
        first = answer["choices"][0]["logprobs"]["content"][0]
        likeliest = {str(t["token"]): float(t["logprob"]) for t in first["top_logprobs"]}
        if not likeliest.keys() & {"yes", "no"}:
            raise ValueError(f"the model answers neither yes nor no, but {first['token']!r}")
        least = min(likeliest.values())
        yes, no = (likeliest.get(word, least) for word in ("yes", "no"))
        return {0: sigmoid(yes - no)}


class Wrapped(Jina):
    """/rerank of a server that leaves the prompt to whoever asks (vLLM with Qwen3-Reranker)."""

    applies_prompt = False

    def body(self, query: str, texts: Sequence[str], instruction: str | None) -> dict[str, Any]:
        """The request, the prompt's first half with the query, the second with each text."""
        start, _ = prompts.rerank_question(query, instruction)
        documents = [f"<Document>: {text}{prompts.RERANK_SUFFIX}" for text in texts]
        return super().body(f"{prompts.RERANK_PREFIX}{start}\n", documents, None)


APIS: dict[str, Api] = {"jina": Jina(), "tei": Tei(), "chat": Chat(), "wrapped": Wrapped()}
FOUND_OUT = ("jina", "tei", "chat")  # in this order, when none is named


def sigmoid(logit: float) -> float:
    """1 / (1 + e^-logit), for any logit.

    >>> sigmoid(0.0), sigmoid(-1000.0), sigmoid(1000.0)
    (0.5, 0.0, 1.0)
    """
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    return math.exp(logit) / (1 + math.exp(logit))


class ServerReranker:
    """A reranking model that servers run: the same as `llama.reranker.LlamaReranker`."""

    decoded = 0  # here

    def __init__(self, servers: Sequence[Server], api: str = "") -> None:
        """Find out how the servers are asked; api names one of APIS.

        Raises ModelError when they can't be used, InputError for an api that there is not.
        """
        if api and api not in APIS:
            raise InputError(f"there is no api {api!r}", hint=f"use {', '.join(APIS)}")
        self._paths: dict[int, str] = {}
        self._api = APIS[api or FOUND_OUT[0]]
        self._logits = False

        def connect(server: Server) -> None:
            server.model = server.model or server.served_model()
            self._probe(server, (api,) if api else FOUND_OUT)

        self._servers = reachable(servers, connect)

    @property
    def takes_instruction(self) -> bool:
        """Whether the prompt is ours, with a place for an instruction."""
        return not self._api.applies_prompt

    def scores(
        self, query: str, texts: Sequence[str], instruction: str | None = None
    ) -> Iterator[list[float]]:
        """As LlamaReranker.scores. Raises InputError for an instruction where the server has a
        prompt of its own."""
        if instruction and self._api.applies_prompt:
            raise InputError(
                f"{self._servers[0].url} uses its own prompt and takes no instruction (--instruct)"
            )
        clean_query = escape_control_tokens(query)
        size = self._api.batch

        def ask(server: Server, batch: Sequence[str]) -> list[float]:
            return self._ask(server, self._api, clean_query, batch, instruction)

        batches = (texts[at : at + size] for at in range(0, len(texts), size))
        yield from spread(self._servers, batches, ask, self._api.in_flight)

    def _probe(self, server: Server, names: Sequence[str]) -> None:
        """Find out how a server is asked, and what its scores are. Raises ServerError."""
        ways = [(APIS[name], path) for name in names for path in server.paths(APIS[name].endpoint)]
        query, texts = PROBE
        problem: ServerError | None = None
        for api, path in ways:
            self._paths[id(server)] = path
            try:
                self._logits = False
                forms = [
                    score
                    for at in range(0, len(texts), api.batch)
                    for score in self._ask(server, api, query, texts[at : at + api.batch], None)
                ]
            except ServerError as error:
                if error.status_code not in NOT_HERE:
                    raise
                # What the last endpoint said that exists tells more than a 404.
                problem = error if problem is None or error.status_code != 404 else problem
                continue
            self._api = api
            self._logits = any(not 0 <= score <= 1 for score in forms)
            return
        assert problem is not None
        raise problem

    def _ask(
        self,
        server: Server,
        api: Api,
        query: str,
        texts: Sequence[str],
        instruction: str | None,
    ) -> list[float]:
        named = {"model": server.model} if server.model else {}
        body = api.body(query, [escape_control_tokens(text) for text in texts], instruction)
        answer = server.ask(self._paths[id(server)], named | body)
        try:
            answered_scores = api.read(answer)
        except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
            raise ServerError(f"{server.url} did not answer with scores") from error
        except ValueError as error:
            raise ServerError(f"{server.url} can't rerank: {error}") from error
        if sorted(answered_scores) != list(range(len(texts))):
            raise ServerError(
                f"{server.url} returned {len(answered_scores)} scores for {len(texts)} documents"
            )
        if not all(math.isfinite(score) for score in answered_scores.values()):
            raise ServerError(f"{server.url} returned a score that is not a number")
        scores = [answered_scores[i] for i in range(len(texts))]
        return [sigmoid(score) for score in scores] if self._logits else scores

    def close(self) -> None:
        """Close the connections."""
        for server in self._servers:
            server.close()
