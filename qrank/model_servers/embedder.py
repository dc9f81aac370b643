"""Embedding texts by servers with OpenAI's /v1/embeddings: texts -> unit vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qrank.errors import InputError
from qrank.model_servers.client import Server, ServerError
from qrank.model_servers.pool import reachable, spread
from qrank.prompts import Templates, escape_control_tokens
from qrank.results import Embedded

BATCH = 64  # texts in a request
MOST_DIMS = 1 << 16  # of an index
IN_FLIGHT = 2  # requests per server, so that it has the next one when it finishes one
PROBE = "The tide is high twice a day."
SAME = 0.98  # least cosine of the probe's vectors by servers with the same model, also quantized
_SPLIT = (413, 422)  # the status for too many texts in a request, of TEI and others


class ServerEmbedder:
    """An embedding model on servers, with the interface of `llama.embedder.LlamaEmbedder`. Which
    texts they truncate and how many tokens they decode is unknown."""

    decoded = 0  # on this machine
    window = 0  # unknown

    def __init__(self, servers: Sequence[Server], around: Templates) -> None:
        """Connect to the servers, and request a first vector from each. around: the prompts.

        Raises ServerError when one can't be used, or they do not run the same model.
        """
        self._around = around
        self._paths: dict[int, str] = {}  # of the endpoint, by the server's id()
        vectors: dict[str, NDArray[np.float32]] = {}

        def connect(server: Server) -> None:
            server.model = server.model or server.served_model()
            vectors[server.url] = self._probe(server)

        self._servers = reachable(servers, connect)
        (url, first), *others = vectors.items()
        for other, vector in others:
            if len(vector) != len(first) or float(vector @ first) < SAME:
                raise ServerError(
                    f"{url} and {other} do not run the same model",
                    hint="use only servers that run the same model",
                )
        self.dims = len(first)

    @property
    def takes_instruction(self) -> bool:
        """Whether the query prompt has a place for an instruction."""
        return self._around.takes_instruction

    def documents(self, texts: Sequence[str], dims: int | None = None) -> Embedded:
        """As LlamaEmbedder.documents."""
        return self._embed([self._around.of_document(text) for text in texts], dims)

    def queries(
        self, texts: Sequence[str], instruction: str | None = None, dims: int | None = None
    ) -> Embedded:
        """As LlamaEmbedder.queries."""
        return self._embed([self._around.of_query(text, instruction) for text in texts], dims)

    def stream(self, groups: Iterable[Sequence[str]]) -> Iterator[Embedded]:
        """As LlamaEmbedder.stream, with one request per group."""
        tasks = ([self._around.of_document(text) for text in group] for group in groups)
        for vectors in spread(self._servers, tasks, self._request, IN_FLIGHT):
            yield Embedded(vectors, [])

    def _embed(self, texts: list[str], dims: int | None) -> Embedded:
        width = dims or self.dims
        if not 1 <= width <= self.dims:
            raise InputError(f"--dims {width} is out of range: the model has {self.dims}")
        batches = (texts[at : at + BATCH] for at in range(0, len(texts), BATCH))
        parts = list(spread(self._servers, batches, self._request, IN_FLIGHT))
        whole = np.concatenate(parts) if parts else np.zeros((0, self.dims), dtype=np.float32)
        return Embedded(_unit(whole[:, :width]), [])

    def _probe(self, server: Server) -> NDArray[np.float32]:
        """Find the server's endpoint; returns the vector of PROBE, of shape (dims,)."""
        paths = server.paths("embeddings")
        for path in paths:
            self._paths[id(server)] = path
            try:
                response = server.request(path, _body(server, [PROBE]), tries=2)
                vector: NDArray[np.float32] = _parse(server, response, 1)[0]
                return vector
            except ServerError as error:
                if error.status_code not in (404, 405) or path == paths[-1]:
                    raise
        raise AssertionError

    def _request(self, server: Server, texts: list[str]) -> NDArray[np.float32]:
        """The unit vectors of texts; a request that is too large is split."""
        try:
            response = server.request(self._paths[id(server)], _body(server, texts))
        except ServerError as error:
            if error.status_code not in _SPLIT or len(texts) == 1:
                raise
            half = len(texts) // 2
            return np.concatenate(
                [self._request(server, texts[:half]), self._request(server, texts[half:])]
            )
        vectors = _parse(server, response, len(texts))
        if vectors.shape[1] != self.dims:
            raise ServerError(
                f"{server.url} returns vectors with {vectors.shape[1]} dimensions, "
                f"earlier {self.dims}",
                hint="does the server run another model now?",
            )
        return vectors

    def close(self) -> None:
        """Close the connections."""
        for server in self._servers:
            server.close()


def _body(server: Server, texts: Sequence[str]) -> dict[str, Any]:
    model = {"model": server.model} if server.model else {}
    return {**model, "input": [escape_control_tokens(text) or " " for text in texts]}


def _parse(server: Server, response: Any, count: int) -> NDArray[np.float32]:
    """The unit vectors in a response, of shape (count, dims), in the order of the texts. Raises
    ServerError for a response of another form."""
    try:
        rows = sorted(response["data"], key=lambda row: row["index"])
        indices = [row["index"] for row in rows]
        vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ServerError(f"{server.url} did not answer with vectors") from error
    if indices != list(range(count)):
        raise ServerError(f"{server.url} returned {len(rows)} vectors for {count} texts")
    if vectors.ndim != 2 or not vectors.shape[1]:
        raise ServerError(f"{server.url} returned vectors of different lengths")
    if vectors.shape[1] > MOST_DIMS:
        raise ServerError(f"{server.url} returned vectors with {vectors.shape[1]} dimensions")
    if not np.isfinite(vectors).all():
        raise ServerError(
            f"{server.url} returned a vector with NaN or infinity",
            hint="run the model at a higher precision there",
        )
    return _unit(vectors)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1.0)).astype(np.float32)
