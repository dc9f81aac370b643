"""Models ready to use, wherever they run: the pipeline does not know the difference."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from qrank.closing import Closing
from qrank.models.registry import Entry, File, ModelChoice, Registry, Role
from qrank.prompts import templates
from qrank.results import Embedded, Signature
from qrank.urls import parse_all

if TYPE_CHECKING:
    from qrank.llama.gguf import ModelFile
    from qrank.model_servers.client import Server
    from qrank.settings import Placement
    from qrank.store.cache import Cache

log = logging.getLogger("qrank")
LOCAL_GROUP, SERVER_GROUP = 32, 64  # texts that are handed to a model at once


class Embedder(Protocol):
    """Texts -> unit vectors."""

    @property
    def dims(self) -> int:
        """The length of a whole vector."""

    @property
    def decoded(self) -> int:
        """How many tokens were computed on this machine."""

    @property
    def takes_instruction(self) -> bool:
        """Whether the prompt has a place for an instruction."""

    @property
    def window(self) -> int:
        """How many tokens of a text the model reads."""

    def documents(self, texts: Sequence[str], dims: int | None = None) -> Embedded:
        """The vectors of document texts."""

    def queries(
        self, texts: Sequence[str], instruction: str | None = None, dims: int | None = None
    ) -> Embedded:
        """The vectors of queries."""

    def stream(self, groups: Iterable[Sequence[str]]) -> Iterator[Embedded]:
        """The vectors of groups of documents, in order, as each is done."""

    def close(self) -> None:
        """Free what it holds."""


class Reranker(Protocol):
    """(query, texts) -> P(relevant)."""

    @property
    def decoded(self) -> int:
        """How many tokens were computed on this machine."""

    @property
    def takes_instruction(self) -> bool:
        """Whether the prompt has a place for an instruction."""

    def scores(
        self, query: str, texts: Sequence[str], instruction: str | None = None
    ) -> Iterator[list[float]]:
        """Yield P(relevant) of texts in order, a list a batch, as each batch is done."""

    def close(self) -> None:
        """Free what it holds."""


class Elsewhere(Protocol):
    """What loads model files in place of this process."""

    def embedder(self, choice: ModelChoice, placement: Placement) -> Embedder:
        """As load_embedder."""

    def reranker(self, choice: ModelChoice, placement: Placement) -> Reranker:
        """As load_reranker."""


elsewhere: Elsewhere | None = None  # set once, when a process begins (serve/remote.py)


def load_embedder(choice: ModelChoice, placement: Placement) -> Embedder:
    """Load an embedder's file, or get in touch with its servers. Raises ModelError."""
    entry = choice.entry
    if choice.path is None:
        from qrank.model_servers.embedder import ServerEmbedder

        return ServerEmbedder(_servers(choice), templates("", entry.query, entry.document))
    started = time.monotonic()
    if elsewhere:
        embedder = elsewhere.embedder(choice, placement)
    else:
        embedder = open_embedder(choice.path, entry, placement)
    _log_load(choice, started)
    return embedder


def open_embedder(path: Path, entry: Entry, placement: Placement) -> Embedder:
    """Load an embedder's file in this process. Raises ModelError."""
    from qrank.llama.embedder import LlamaEmbedder

    header = embedder_file(path, entry)
    around = templates(header.architecture, entry.query, entry.document)
    return LlamaEmbedder(header, placement, around)


def embedder_file(path: Path, entry: Entry) -> ModelFile:
    """The header of an embedder's file. How it pools, where its conversion left that out, is what
    its entry says, or that of the registry which names the very same file. Raises ModelError."""
    from qrank.llama.gguf import EMBEDDING_POOLING, read_header, sha256

    header = read_header(path)
    if header.pooling != "none":
        return header
    pooling = entry.pooling
    if not pooling:
        size = path.stat().st_size
        for entry_of_file in Registry().of_role(Role.embedder):
            alike = [
                file.sha256 for file in entry_of_file.files if file.bytes == size and file.sha256
            ]
            if alike and sha256(path) in alike:
                pooling = entry_of_file.pooling
    return header.pooled_by(pooling) if pooling in EMBEDDING_POOLING else header


class LazyEmbedder(Closing):
    """An embedder that is loaded when it is first wanted."""

    def __init__(self, choice: ModelChoice, placement: Placement) -> None:
        self._choice, self._placement = choice, placement
        self._loaded: Embedder | None = None

    def get(self) -> Embedder:
        """The embedder. Raises ModelError."""
        self._loaded = self._loaded or load_embedder(self._choice, self._placement)
        return self._loaded

    def close(self) -> None:
        """Free what it holds."""
        if self._loaded:
            self._loaded.close()


def load_reranker(choice: ModelChoice, placement: Placement) -> Reranker:
    """Load a reranker's file, or get in touch with its servers. Raises ModelError."""
    if choice.path is None:
        from qrank.model_servers.reranker import ServerReranker

        return ServerReranker(_servers(choice), choice.entry.api)
    started = time.monotonic()
    if elsewhere:
        reranker = elsewhere.reranker(choice, placement)
    else:
        reranker = open_reranker(choice.path, placement)
    _log_load(choice, started)
    return reranker


def open_reranker(path: Path, placement: Placement) -> Reranker:
    """Load a reranker's file in this process. Raises ModelError."""
    from qrank.llama.gguf import read_header
    from qrank.llama.reranker import LlamaReranker

    return LlamaReranker(read_header(path), placement)


def _log_load(choice: ModelChoice, started: float) -> None:
    log.info(
        "loaded the %s %s in %.2f s", choice.entry.role, choice.name, time.monotonic() - started
    )


def _servers(choice: ModelChoice) -> list[Server]:
    from qrank.model_servers.client import Server

    entry = choice.entry
    return [Server(url, entry.key, choice.api_key) for url in parse_all(entry.server)]


def group_size(choice: ModelChoice) -> int:
    """How many texts a model is best handed at once."""
    return LOCAL_GROUP if choice.path else SERVER_GROUP


def identity(cache: Cache, choice: ModelChoice) -> str:
    """What tells a model's vectors from another's: the hash of its file, together with what it
    wants around documents when that is not its family's own. For a server, what it is named by."""
    entry = choice.entry
    if choice.path is None:
        # Where it runs does not matter when it is named; else the URL is all there is.
        named = {url.model for url in parse_all(entry.server) if url.model}
        what = "server:" + (" ".join(sorted(named)) or entry.server)
    else:
        what = file_hash(cache, choice.path)
    result = identity_of(what, entry)
    return _digest(what) if choice.path is None and result == what else result


def identity_of(sha256: str, entry: Entry) -> str:
    """What tells the vectors of a model file with that hash from another's, as `identity`."""
    if entry.document is None or entry.document == "{text}":
        return sha256
    return _digest(f"{sha256}\n{entry.document}")


def file_with(identity: str, entry: Entry) -> File | None:
    """The file of an entry that vectors of that identity were made with, where its hash is known:
    by the registry, or as it is on this machine."""
    for file in entry.files:
        digest = file.sha256
        if digest is None and (place := file.find()):
            digest = hash_of_file(place.path)
        if digest and identity_of(digest, entry) == identity:
            return file
    return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def file_hash(cache: Cache, path: Path) -> str:
    """A model file's SHA-256, computed only when it was not seen before as it is now."""
    from qrank.llama.gguf import sha256

    signature = Signature.of(path.stat())
    digest = cache.model_hash(str(path), signature)
    if digest is None:
        digest = sha256(path)
        cache.put_model_hash(str(path), signature, digest)
    return digest


def hash_of_file(path: Path) -> str:
    """As file_hash, with the cache of this user. Raises OSError when the file can't be read."""
    from qrank.store.cache import Cache

    return file_hash(Cache(), path)
