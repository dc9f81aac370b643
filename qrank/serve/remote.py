"""Models that another process holds: what uses them does not know the difference."""

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

SECONDS = 10.0  # for the server to take a connection
# What llama.cpp and its libraries read when they are loaded.
_READ_BY_LIBRARIES = (
    *("OMP_", "GOMP_", "KMP_", "GGML_", "LLAMA_", "CUDA_", "HIP_", "ROCR_", "HSA_", "VK_"),
    *("ONEAPI_", "SYCL_", "LD_LIBRARY_PATH", "METAL_"),
)

log = logging.getLogger("qrank")


class EndedError(ModelError):
    """Nothing runs that would hold a model."""


def use(*, or_here: bool = False) -> None:
    """From now on models are loaded in the server's processes instead of this one. or_here: in
    this one after all, when no server answers, or the one that did has ended."""
    loading.elsewhere = _Elsewhere(or_here)


class _Elsewhere:
    """Where models are loaded, in place of this process."""

    def __init__(self, or_here: bool) -> None:
        self._or_here = or_here

    def embedder(self, choice: ModelChoice, placement: Placement) -> loading.Embedder:
        """As loading.load_embedder."""

        def here() -> loading.Embedder:
            assert choice.path is not None
            return loading.open_embedder(choice.path, choice.entry, placement)

        try:
            spec = _spec("embedder", choice, placement)
            return _RemoteEmbedder(spec, here if self._or_here else None)
        except EndedError:
            if not self._or_here:
                raise
            return here()

    def reranker(self, choice: ModelChoice, placement: Placement) -> loading.Reranker:
        """As loading.load_reranker."""

        def here() -> loading.Reranker:
            assert choice.path is not None
            return loading.open_reranker(choice.path, placement)

        try:
            spec = _spec("reranker", choice, placement)
            return _RemoteReranker(spec, here if self._or_here else None)
        except EndedError:
            if not self._or_here:
                raise
            return here()


def _spec(role: str, choice: ModelChoice, placement: Placement) -> dict[str, Any]:
    """All that tells a loaded model from another."""
    assert choice.path is not None
    path = choice.path.absolute()
    try:
        file = loading.hash_of_file(path)  # copies of a file are one model
    except OSError:  # loading it says what is wrong
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
    """A model in a process of its own, or loaded here when that has ended and it may be."""

    def __init__(self, spec: dict[str, Any], here: Callable[[], M] | None) -> None:
        self._spec, self._here = spec, here
        self._lock = threading.Lock()
        self._loaded: M | None = None
        self.decoded = 0
        self._first: socket.socket | None = None  # for the first question
        with self._connected() as (connection, about):
            self._about = about
            self._first = connection.dup()
        for notice in about["notices"]:
            log.warning("%s", notice)

    @property
    def takes_instruction(self) -> bool:
        """Whether the prompt has a place for an instruction."""
        return bool(self._about["instruction"])

    @contextmanager
    def _connected(self) -> Iterator[tuple[socket.socket, dict[str, Any]]]:
        """A connection to the model's process, which loads it first when it has to, and what it
        tells of the model. Closing it ends what is being computed."""
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
        connection = ask({"do": "model", "model": self._spec})
        try:
            connection.settimeout(None)
            return connection, _answer(connection)[0]
        except BaseException as error:
            connection.close()
            if again and isinstance(error, OSError):  # it was about to be unloaded
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
        """Free what is held here."""
        if self._first:
            self._first.close()
        if self._loaded:
            self._loaded.close()


class _RemoteEmbedder(_Remote[loading.Embedder]):
    """loading.Embedder in another process."""

    @property
    def dims(self) -> int:
        """The length of a whole vector."""
        return int(self._about["dims"])

    @property
    def window(self) -> int:
        """How many tokens of a text the model reads."""
        return int(self._about["window"])

    def documents(self, texts: Sequence[str], dims: int | None = None) -> Embedded:
        """The vectors of document texts."""
        return self._embed(texts, False, None, dims)

    def queries(
        self, texts: Sequence[str], instruction: str | None = None, dims: int | None = None
    ) -> Embedded:
        """The vectors of queries."""
        return self._embed(texts, True, instruction, dims)

    def stream(self, groups: Iterable[Sequence[str]]) -> Iterator[Embedded]:
        """The vectors of groups of documents, in order, as each is done."""
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

        question = {
            "texts": [*texts],
            "is_query": is_query,
            "instruction": instruction,
            "dims": dims,
        }
        with self._connected() as (connection, _):
            wire.send(connection, question)
            header, data = _answer(connection)
        self._count(header["tokens"])
        vectors = np.frombuffer(data, dtype="<f4").reshape(header["shape"]).copy()
        return Embedded(vectors, header["truncated"])


class _RemoteReranker(_Remote[loading.Reranker]):
    """loading.Reranker in another process."""

    def scores(
        self, query: str, texts: Sequence[str], instruction: str | None = None
    ) -> Iterator[list[float]]:
        """Yield P(relevant) of texts in order, a list a batch, as each batch is done."""
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
            while "scores" in (batch := _answer(connection)[0]):
                self._count(batch["tokens"])
                yield batch["scores"]


def ask(request: dict[str, Any], seconds: float = SECONDS) -> socket.socket:
    """A connection to the server on which a request was sent. Raises OSError when none listens."""
    raw = places.connect(places.NAME + CONTROL, seconds)
    connection = socket.socket(fileno=raw.detach())
    connection.settimeout(seconds)
    try:
        wire.send(connection, request)
    except BaseException:
        connection.close()
        raise
    return connection


def _answer(connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    message, data = wire.receive(connection)
    if "error" in message:
        raise raised(message["error"])
    return message, data
