"""Scoring texts by servers, with /rerank in its several forms, or with chat completions: (query,
texts) -> P(relevant)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from qrank import prompts
from qrank.errors import InputError
from qrank.model_servers.client import Server, ServerError
from qrank.model_servers.pool import reachable, spread
from qrank.prompts import escape_control_tokens

# A query with a relevant and an irrelevant text: the response shows which API a server has, and
# whether it returns probabilities or logits.
PROBE = ("when is the water high", ["The tide is high twice a day.", "Owls hunt at night."])
NOT_THIS_API = (400, 404, 405, 422, 501)  # statuses after which the next API is tried


class Api(Protocol):
    """The form of requests and responses."""

    endpoint: str
    batch: int  # texts in a request
    in_flight: int  # requests per server at a time
    applies_prompt: bool  # whether the server adds the model's prompt to query and texts

    def body(self, query: str, texts: Sequence[str], instruction: str | None) -> dict[str, Any]:
        """The request, without the model's name."""

    def parse(self, response: Any) -> dict[int, float]:
        """Scores by index of the text. Raises KeyError, TypeError or ValueError for another
        form."""


class Jina:
    """/rerank as Jina, Cohere, vLLM, Infinity and llama.cpp have it."""

    endpoint, batch, in_flight, applies_prompt = "rerank", 8, 2, True

    def body(self, query: str, texts: Sequence[str], instruction: str | None) -> dict[str, Any]:
        """The request."""
        return {"query": query, "documents": list(texts), "top_n": len(texts)}

    def parse(self, response: Any) -> dict[int, float]:
        """The scores."""
        return {int(r["index"]): float(r["relevance_score"]) for r in response["results"]}


class Tei:
    """/rerank as Hugging Face's Text Embeddings Inference has it."""

    endpoint, batch, in_flight, applies_prompt = "rerank", 8, 2, True

    def body(self, query: str, texts: Sequence[str], instruction: str | None) -> dict[str, Any]:
        """The request."""
        return {"query": query, "texts": list(texts), "truncate": True}

    def parse(self, response: Any) -> dict[int, float]:
        """The scores."""
        return {int(r["index"]): float(r["score"]) for r in response}


class Chat:
    """A chat completion of one token: P(yes) from the log-probabilities of "yes" and "no".

    Source: the model card of Qwen3-Reranker; OpenAI's chat completions (logprobs, top_logprobs).
    """

    endpoint, batch, in_flight, applies_prompt = "chat/completions", 1, 4, False

    def body(self, query: str, texts: Sequence[str], instruction: str | None) -> dict[str, Any]:
        """The request; with enable_thinking false, the template adds an empty think block."""
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

    def parse(self, response: Any) -> dict[int, float]:
        """P(yes); if one of the two is not among the top tokens, its log-probability is taken to
        be that of the last of them."""
        first = response["choices"][0]["logprobs"]["content"][0]
        top = {str(t["token"]): float(t["logprob"]) for t in first["top_logprobs"]}
        if not top.keys() & {"yes", "no"}:
            raise ValueError(f"the model answers neither yes nor no, but {first['token']!r}")
        lowest = min(top.values())
        yes, no = (top.get(word, lowest) for word in ("yes", "no"))
        return {0: sigmoid(yes - no)}


class Wrapped(Jina):
    """/rerank of a server that adds no prompt (vLLM with Qwen3-Reranker): the request has it."""

    applies_prompt = False

    def body(self, query: str, texts: Sequence[str], instruction: str | None) -> dict[str, Any]:
        """The request: the first half of the prompt is in the query, the second in each text."""
        start, _ = prompts.rerank_question(query, instruction)
        documents = [f"<Document>: {text}{prompts.RERANK_SUFFIX}" for text in texts]
        return super().body(f"{prompts.RERANK_PREFIX}{start}\n", documents, None)


APIS: dict[str, Api] = {"jina": Jina(), "tei": Tei(), "chat": Chat(), "wrapped": Wrapped()}
PROBED = ("jina", "tei", "chat")  # tried in this order when no API is named


def sigmoid(logit: float) -> float:
    """1 / (1 + e^-logit), without overflow.

    >>> sigmoid(0.0), sigmoid(-1000.0), sigmoid(1000.0)
    (0.5, 0.0, 1.0)
    """
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    return math.exp(logit) / (1 + math.exp(logit))


class ServerReranker:
    """A reranking model on servers, with the interface of `llama.reranker.LlamaReranker`."""

    decoded = 0  # on this machine

    def __init__(self, servers: Sequence[Server], api: str = "") -> None:
        """Connect to the servers. api: one of APIS; without it, PROBED are tried.

        Raises ServerError when they can't be used, InputError for an unknown api.
        """
        if api and api not in APIS:
            raise InputError(f"there is no api {api!r}", hint=f"use {', '.join(APIS)}")
        self._paths: dict[int, str] = {}  # of the endpoint, by the server's id()
        self._api = APIS[api or PROBED[0]]
        self._logits = False

        def connect(server: Server) -> None:
            server.model = server.model or server.served_model()
            self._probe(server, (api,) if api else PROBED)

        self._servers = reachable(servers, connect)

    @property
    def takes_instruction(self) -> bool:
        """Whether qrank adds the prompt, so that it can contain an instruction."""
        return not self._api.applies_prompt

    def scores(
        self, query: str, texts: Sequence[str], instruction: str | None = None
    ) -> Iterator[list[float]]:
        """As LlamaReranker.scores. Raises InputError for an instruction if the server adds its own
        prompt, ServerError when a request fails."""
        if instruction and self._api.applies_prompt:
            raise InputError(
                f"{self._servers[0].url} uses its own prompt and takes no instruction (--instruct)"
            )
        clean_query = escape_control_tokens(query)
        size = self._api.batch

        def request(server: Server, batch: Sequence[str]) -> list[float]:
            return self._request(server, self._api, clean_query, batch, instruction)

        batches = (texts[at : at + size] for at in range(0, len(texts), size))
        yield from spread(self._servers, batches, request, self._api.in_flight)

    def _probe(self, server: Server, names: Sequence[str]) -> None:
        """Find a server's API and path, and whether its scores are logits. Raises ServerError when
        none of the APIs works."""
        candidates = [
            (APIS[name], path) for name in names for path in server.paths(APIS[name].endpoint)
        ]
        query, texts = PROBE
        problem: ServerError | None = None
        for api, path in candidates:
            self._paths[id(server)] = path
            try:
                self._logits = False
                scores = [
                    score
                    for at in range(0, len(texts), api.batch)
                    for score in self._request(server, api, query, texts[at : at + api.batch], None)
                ]
            except ServerError as error:
                if error.status_code not in NOT_THIS_API:
                    raise
                # The error of an endpoint that exists says more than a 404.
                problem = error if problem is None or error.status_code != 404 else problem
                continue
            self._api = api
            self._logits = any(not 0 <= score <= 1 for score in scores)
            return
        assert problem is not None
        raise problem

    def _request(
        self,
        server: Server,
        api: Api,
        query: str,
        texts: Sequence[str],
        instruction: str | None,
    ) -> list[float]:
        model = {"model": server.model} if server.model else {}
        body = api.body(query, [escape_control_tokens(text) for text in texts], instruction)
        response = server.request(self._paths[id(server)], model | body)
        try:
            by_index = api.parse(response)
        except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
            raise ServerError(f"{server.url} did not answer with scores") from error
        except ValueError as error:
            raise ServerError(f"{server.url} can't rerank: {error}") from error
        if sorted(by_index) != list(range(len(texts))):
            raise ServerError(
                f"{server.url} returned {len(by_index)} scores for {len(texts)} documents"
            )
        if not all(math.isfinite(score) for score in by_index.values()):
            raise ServerError(f"{server.url} returned a score that is not a number")
        scores = [by_index[i] for i in range(len(texts))]
        return [sigmoid(score) for score in scores] if self._logits else scores

    def close(self) -> None:
        """Close the connections."""
        for server in self._servers:
            server.close()
