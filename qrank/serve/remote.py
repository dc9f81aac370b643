"""Embedders and rerankers that run in the processes of the warm process, with the same interface as
local ones."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from qrank.errors import ModelError
from qrank.inference import loading
from qrank.processors import count_tokens
from qrank.serve import places, wire
from qrank.serve.client import CONTROL
from qrank.serve.host import raised

if TYPE_CHECKING:
    from qrank.models.registry import ModelChoice
    from qrank.results import Embedded
    from qrank.settings import Placement

SECONDS = 10.0  # timeout for connecting to the server
# Prefixes of the environment variables that llama.cpp and its libraries read when loaded.
_READ_BY_LIBRARIES = (
    *("OMP_", "GOMP_", "KMP_", "GGML_", "LLAMA_", "CUDA_", "HIP_", "ROCR_", "HSA_", "VK_"),
    *("ONEAPI_", "SYCL_", "LD_LIBRARY_PATH", "METAL_"),
)

log = logging.getLogger("qrank")


class EndedError(ModelError):
    """The warm process, or a model's process, has ended."""


def use(*, fallback: bool = False) -> None:
    """From now on, load models in the warm process instead of this one. fallback: load them in
    this one when there is no warm process, or it has ended."""
    loading.elsewhere = _Remotes(fallback)


class _Remotes:
    """Loads models in the warm process (`loading.elsewhere`)."""

    def __init__(self, fallback: bool) -> None:
        self._fallback = fallback

    def embedder(self, choice: ModelChoice, placement: Placement) -> loading.Embedder:
        """As loading.load_embedder."""

        def here() -> loading.Embedder:
            assert choice.path is not None
            return loading.open_embedder(choice.path, choice.entry, placement)

        try:
            spec = _spec("embedder", choice, placement)
            return _RemoteEmbedder(spec, here if self._fallback else None)
        except EndedError:
            if not self._fallback:
                raise
            return here()

    def reranker(self, choice: ModelChoice, placement: Placement) -> loading.Reranker:
        """As loading.load_reranker."""

        def here() -> loading.Reranker:
            assert choice.path is not None
            return loading.open_reranker(choice.path, placement)

        try:
            spec = _spec("reranker", choice, placement)
            return _RemoteReranker(spec, here if self._fallback else None)
        except EndedError:
            if not self._fallback:
                raise
            return here()


def _spec(role: str, choice: ModelChoice, placement: Placement) -> dict[str, Any]:
    """All that the outputs of a loaded model depend on, as JSON: requests with the same spec use
    the same process."""
    assert choice.path is not None
    path = choice.path.absolute()
    try:
        file = loading.hash_of_file(path)  # copies of a file are the same model
    except OSError:  # the error is reported when it is loaded
        file = str(path)
    return {
        "role": role,
        "path": os.fsencode(path).hex(),
        "file": file,
        "entry": {name: getattr(choice.entry, name) for name in ("query", "document", "pooling")},
        "placement": [placement.threads, placement.gpu_layers, placement.device],
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(_READ_BY_LIBRARIES)
        },
    }


M = TypeVar("M", bound=loading.Embedder | loading.Reranker)


class _Remote(Generic[M]):
    """A model in another process; if that ends, it is loaded by here(), if given."""

    def __init__(self, spec: dict[str, Any], here: Callable[[], M] | None) -> None:
        self._spec, self._here = spec, here
        self._lock = threading.Lock()
        self._loaded: M | None = None
        self.decoded = 0
        self._first: socket.socket | None = None  # the connection for the first request
        with self._connected() as (connection, about):
            self._about = about
            self._first = connection.dup()
        for notice in about["notices"]:
            log.warning("%s", notice)

    @property
    def takes_instruction(self) -> bool:
        """Whether the model's prompt takes an instruction."""
        return bool(self._about["instruction"])

    @contextmanager
    def _connected(self) -> Iterator[tuple[socket.socket, dict[str, Any]]]:
        """A connection to the model's process, which loads the model if needed, and the model's
        properties. Closing the connection stops the computation. Raises EndedError."""
        with self._lock:
            first, self._first = self._first, None
        try:
            if first and not wire.is_gone(first):
                connection, about = first, self._about
            else:
                connection, about = self._open()
            with connection:
                yield connection, about
        except OSError as error:
            path = os.fsdecode(bytes.fromhex(self._spec["path"]))
            raise EndedError(
                f"the process that runs {path} has ended ({error})",
                hint="try again, or add --no-serve",
            ) from error

    def _open(self, *, again: bool = True) -> tuple[socket.socket, dict[str, Any]]:
        connection = request({"do": "model", "model": self._spec})
        try:
            connection.settimeout(None)
            return connection, _response(connection)[0]
        except BaseException as error:
            connection.close()
            if again and isinstance(error, OSError):  # the process was just ending
                return self._open(again=False)
            raise

    def _load_here(self, error: EndedError) -> M:
        if self._here is None:
            raise error
        with self._lock:
            if self._loaded is None:
                self._loaded = self._here()
            return self._loaded

    def _count(self, tokens: int) -> None:
        self.decoded += tokens
        count_tokens(tokens)

    def close(self) -> None:
        """Close the connection, and free the model if it was loaded in this process."""
        if self._first:
            self._first.close()
        if self._loaded:
            self._loaded.close()


class _RemoteEmbedder(_Remote[loading.Embedder]):
    """A loading.Embedder in another process."""

    @property
    def dims(self) -> int:
        """As LlamaEmbedder.dims."""
        return int(self._about["dims"])

    @property
    def window(self) -> int:
        """The longest sequence of the model, in tokens."""
        return int(self._about["window"])

    def documents(self, texts: Sequence[str], dims: int | None = None) -> Embedded:
        """As LlamaEmbedder.documents."""
        return self._embed(texts, False, None, dims)

    def queries(
        self, texts: Sequence[str], instruction: str | None = None, dims: int | None = None
    ) -> Embedded:
        """As LlamaEmbedder.queries."""
        return self._embed(texts, True, instruction, dims)

    def stream(self, groups: Iterable[Sequence[str]]) -> Iterator[Embedded]:
        """As LlamaEmbedder.stream."""
        for texts in groups:
            yield self.documents(texts)

    def _embed(
        self, texts: Sequence[str], is_query: bool, instruction: str | None, dims: int | None
    ) -> Embedded:
        try:
            return self._request(texts, is_query, instruction, dims)
        except EndedError as error:
            model = self._load_here(error)
            if is_query:
                return model.queries(texts, instruction, dims)
            return model.documents(texts, dims)

    def _request(
        self, texts: Sequence[str], is_query: bool, instruction: str | None, dims: int | None
    ) -> Embedded:
        import numpy as np

        from qrank.results import Embedded

        message = {
            "texts": [*texts],
            "is_query": is_query,
            "instruction": instruction,
            "dims": dims,
        }
        with self._connected() as (connection, _):
            wire.send(connection, message)
            header, data = _response(connection)
        self._count(header["tokens"])
        vectors = np.frombuffer(data, dtype="<f4").reshape(header["shape"]).copy()
        return Embedded(vectors, header["truncated"])


class _RemoteReranker(_Remote[loading.Reranker]):
    """A loading.Reranker in another process."""

    def scores(
        self, query: str, texts: Sequence[str], instruction: str | None = None
    ) -> Iterator[list[float]]:
        """As LlamaReranker.scores."""
        done = 0
        try:
            for batch in self._request(query, texts, instruction):
                done += len(batch)
                yield batch
        except EndedError as error:
            yield from self._load_here(error).scores(query, texts[done:], instruction)

    def _request(
        self, query: str, texts: Sequence[str], instruction: str | None
    ) -> Iterator[list[float]]:
        with self._connected() as (connection, _):
            wire.send(connection, {"query": query, "texts": [*texts], "instruction": instruction})
            while "scores" in (batch := _response(connection)[0]):
                self._count(batch["tokens"])
                yield batch["scores"]


def request(message: dict[str, Any], seconds: float = SECONDS) -> socket.socket:
    """Connect to the warm process and send a request; returns the connection for the response.
    Raises OSError when there is no such process."""
    raw = places.connect(places.NAME + CONTROL, seconds)
    connection = socket.socket(fileno=raw.detach())
    connection.settimeout(seconds)
    try:
        wire.send(connection, message)
    except BaseException:
        connection.close()
        raise
    return connection


def _response(connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    """Receive a response. Raises the error that it contains, if any, and OSError."""
    message, data = wire.receive(connection)
    if "error" in message:
        raise raised(message["error"])
    return message, data
