"""Which embedding model an index goes with, and that its vectors are that file's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qrank.errors import IndexFileError, ModelError
from qrank.models.registry import AUTO, ModelChoice, Role, resolve

if TYPE_CHECKING:
    from qrank.llama.embedder import Embedder
    from qrank.settings import Placement
    from qrank.store.interface import StoredModel
    from qrank.store.interface import StoreInterface as Store


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
    from qrank.llama.gguf import read_header, require_embedder
    from qrank.llama.prompts import PROMPT_VERSION

    held = store.models()
    if held and held[0].prompt_version != PROMPT_VERSION:
        raise IndexFileError(
            f"the vectors in {store.path} were made by another version of qrank",
            hint="make another index with --db, or search with --mode bm25",
        )
    if not held:
        choice = resolve(Role.embedder, requested)
        require_embedder(read_header(choice.path))  # before hours of reading, not after
        return IndexModel(choice, None)
    stored = held[0]
    if requested != AUTO:
        choice = resolve(Role.embedder, requested)
        if file_hash(store, choice.path) != stored.sha256:
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
    if file_hash(store, choice.path) != stored.sha256:
        raise IndexFileError(
            f"{choice.path} is no longer the file that the index {store.path} was made with",
            hint="name the old file with --embed-model, or make another index with --db",
        )
    return IndexModel(choice, stored)


def load_embedder(choice: ModelChoice, placement: Placement) -> Embedder:
    """Load an embedder's file. Raises ModelError."""
    from qrank.llama.embedder import Embedder
    from qrank.llama.gguf import read_header

    return Embedder(read_header(choice.path), placement)


def record(store: Store, model: IndexModel, dims: int) -> StoredModel:
    """The model's row in the index, made when it is new."""
    from qrank.llama.prompts import PROMPT_VERSION
    from qrank.store.interface import StoredModel

    if model.stored:
        return model.stored
    sha256 = file_hash(store, model.choice.path)
    with store.transaction():
        for other in store.models():  # another run may have been quicker
            if (other.sha256, other.prompt_version) == (sha256, PROMPT_VERSION):
                return other
        return store.add_model(StoredModel(0, model.choice.name, sha256, dims, PROMPT_VERSION))


def file_hash(store: Store, path: Path) -> str:
    """A model file's SHA-256, computed only when the index has not seen it as it is now."""
    from qrank.llama.gguf import sha256

    info = path.stat()
    seen_as = (str(path), info.st_size, info.st_mtime_ns)
    known = store.known_hash(*seen_as)
    if known is None:
        known = sha256(path)
        store.note_hash(*seen_as, known)
    return known
