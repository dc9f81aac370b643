"""Which embedding model an index goes with, and that its vectors are that file's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qrank.errors import IndexFileError, ModelError
from qrank.models.registry import AUTO, ModelChoice, Role, resolve

if TYPE_CHECKING:
    from qrank.llama.embedder import Embedder
    from qrank.store import Store
    from qrank.store.store import StoredModel


@dataclass(frozen=True, slots=True)
class IndexModel:
    """The model of an index's vectors: its file, and its row (None before the first vector)."""

    choice: ModelChoice
    stored: StoredModel | None


def index_model(store: Store, requested: str = AUTO) -> IndexModel:
    """The model to use with an index: the one its vectors are from, else the one requested.

    Raises IndexFileError when another one is requested than the vectors are from, ModelError
    when the model's file can't be found.
    """
    held = store.models()
    if not held:
        return IndexModel(resolve(Role.embedder, requested), None)
    stored = held[0]
    if requested != AUTO:
        choice = resolve(Role.embedder, requested)
        if not _same_file(stored, choice.path):
            raise IndexFileError(
                f"the index {store.path} was made with the embedding model {stored.name}, "
                f"not {choice.name}",
                hint="leave --embed-model out, or make another index with --db",
            )
        return IndexModel(choice, stored)
    try:
        choice = resolve(Role.embedder, stored.name)
    except ModelError as error:
        raise ModelError(
            f"the index {store.path} was made with the embedding model {stored.name}, "
            f"which can't be found",
            hint="put it back, name its file with --embed-model, or search with --mode bm25",
        ) from error
    if not _same_file(stored, choice.path):
        raise IndexFileError(
            f"{choice.path} is no longer the file that the index {store.path} was made with",
            hint="name the old file with --embed-model, or make another index with --db",
        )
    return IndexModel(choice, stored)


def load_embedder(choice: ModelChoice) -> Embedder:
    """Load an embedder's file. Raises ModelError."""
    from qrank.llama.embedder import Embedder
    from qrank.llama.gguf import read_header

    return Embedder(read_header(choice.path))


def remember(store: Store, model: IndexModel, dims: int) -> StoredModel:
    """The model's row in the index, made when it is new; where its file lies now is noted."""
    from qrank.llama.gguf import sha256
    from qrank.llama.prompts import PROMPT_VERSION
    from qrank.store.store import StoredModel

    path = model.choice.path
    info = path.stat()
    with store.transaction():
        if model.stored:
            store.locate_model(model.stored.id, str(path), info.st_size, info.st_mtime_ns)
            return model.stored
        new = StoredModel(
            id=0,
            name=model.choice.name,
            path=str(path),
            size=info.st_size,
            mtime_ns=info.st_mtime_ns,
            sha256=sha256(path),
            dims=dims,
            prompt_version=PROMPT_VERSION,
        )
        return store.add_model(new)


def _same_file(stored: StoredModel, path: Path) -> bool:
    """Whether path is the file the vectors are from: by size and time, else by its hash."""
    info = path.stat()
    if (str(path), info.st_size, info.st_mtime_ns) == (stored.path, stored.size, stored.mtime_ns):
        return True
    if info.st_size != stored.size:
        return False
    from qrank.llama.gguf import sha256

    return sha256(path) == stored.sha256
