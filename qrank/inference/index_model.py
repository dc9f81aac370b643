"""The embedding model of an index, and changing it.

The first model of an index is the one that it is searched with. A second one is on its way in: its
vectors are made beside the first one's, and when none is missing the first goes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qrank.errors import IndexFileError, ModelError
from qrank.inference.loading import embedder_file, file_with, identity
from qrank.models import trust
from qrank.models.registry import Entry, File, ModelChoice, Registry, Role
from qrank.prompts import PROMPT_VERSION
from qrank.settings import AUTO

if TYPE_CHECKING:
    from qrank.store.cache import Cache
    from qrank.store.interface import Store, StoredModel


RENEW = "run qrank index to recompute them"


class OutdatedVectors(IndexFileError):
    """The vectors are those of another version of qrank: words can still be searched."""


@dataclass(frozen=True, slots=True)
class IndexModel:
    """The model of an index's vectors, and its row (None before the first vector). settles: when
    its vectors are complete it becomes the only model."""

    choice: ModelChoice
    identity: str  # tells its vectors from another's
    stored: StoredModel | None
    settles: bool = True


def model_for_indexing(
    store: Store, cache: Cache, models: Registry, requested: str = AUTO, *, insists: bool = False
) -> IndexModel:
    """The model to make vectors with: the one requested, else the one the index is searched with,
    or in place of that one, when qrank came with it, the one that qrank comes with now. insists:
    the user asked for it just now, so that `auto` is the best installed, too.

    Raises ModelError or IndexFileError when it can't be found or is no longer the same.
    """
    rows = store.models()
    if requested != AUTO or insists or not rows:
        choice = _named(models, requested)
        _require_embedder(choice)  # before hours of reading, not after
        own = identity(cache, choice)
        return IndexModel(choice, own, _row(store, own))
    current = rows[0]
    choice = _resolve_stored(store, models, current)
    own = identity(cache, choice)
    row = _row(store, own)
    if row is None and not (choice.entry.bundled or current.prompt_version != PROMPT_VERSION):
        raise _changed(store, choice)
    return IndexModel(choice, own, row, settles=row != current)


def model_for_search(
    store: Store, cache: Cache, models: Registry, requested: str = AUTO, *, insists: bool = False
) -> IndexModel:
    """The model that the index is searched with; requested may only say where its file lies now.

    Raises ModelError or IndexFileError when it can't be found or is no longer the same, or when
    the user insists on another one.
    """
    current = store.models()[0]
    if current.prompt_version != PROMPT_VERSION:
        raise OutdatedVectors(
            f"the vectors in {store.path} are from another version of qrank", hint=RENEW
        )
    if requested != AUTO:
        choice = _named(models, requested)
        if identity(cache, choice) == current.sha256:
            return IndexModel(choice, current.sha256, current)
        if insists:
            raise IndexFileError(
                f"the index {store.path} was made with the embedding model {current.name}, "
                f"not {choice.name}",
                hint=f"omit --embed-model, or run: qrank index --embed-model {choice.name}",
            )
    choice = _resolve_stored(store, models, current)
    if identity(cache, choice) != current.sha256:
        if choice.entry.bundled:
            raise OutdatedVectors(
                f"the vectors in {store.path} were made with the {choice.entry.alias} of another "
                "version of qrank",
                hint=RENEW,
            )
        raise _changed(store, choice)
    return IndexModel(choice, current.sha256, current)


def _named(models: Registry, requested: str) -> ModelChoice:
    """The model that the user named."""
    choice = models.resolve(Role.embedder, requested)
    if choice.path is None:
        trust.add(choice.entry)
    return choice


def _require_embedder(choice: ModelChoice) -> None:
    from qrank.llama.gguf import require_embedder

    if choice.path:
        require_embedder(embedder_file(choice.path, choice.entry))


def _resolve_stored(store: Store, models: Registry, stored: StoredModel) -> ModelChoice:
    """The index's model; of a model with several files the one that made the vectors."""
    file = file_of_index(models, stored)
    try:
        if file:
            choice = models.resolve(Role.embedder, f"{file[0].alias}:{file[1].quantization}")
            return replace(choice, name=stored.name)
        choice = models.resolve(Role.embedder, stored.name)
        if choice.path is None:
            trust.require(choice.entry)
        return choice
    except ModelError as error:
        name = f"{file[0].alias}:{file[1].quantization}" if file else ""
        raise ModelError(
            f"the index {store.path} was made with the embedding model {stored.name}, "
            f"which can't be found",
            hint=(f"qrank models pull {name} downloads it; or " if file else "restore it, ")
            + "name its file with --embed-model, or search with --mode bm25",
        ) from error


def file_of_index(models: Registry, stored: StoredModel) -> tuple[Entry, File] | None:
    """The registry's model that an index's vectors are of, and which of its files made them, where
    that is known: by its hash, or of one that was made on another machine by its name."""
    alias, _, kind = stored.name.partition(":")
    for entry in models.of_role(Role.embedder):
        if alias == entry.alias:
            made = (file for file in entry.files if file.made_of and file.quantization == kind)
            file = file_with(stored.sha256, entry) or next(made, None)
            return (entry, file) if file and file.quantization else None
    return None


def _changed(store: Store, choice: ModelChoice) -> IndexFileError:
    return IndexFileError(
        f"{choice.path or choice.name} is no longer the model that the index {store.path} was "
        "made with",
        hint="restore it, or recompute the vectors with: qrank index --embed-model",
    )


def _row(store: Store, identity: str) -> StoredModel | None:
    """The row of a model's vectors, if the index has some."""
    key = (identity, PROMPT_VERSION)
    rows = store.models()
    return next((row for row in rows if (row.sha256, row.prompt_version) == key), None)


def record(store: Store, model: IndexModel, dims: int) -> StoredModel:
    """The model's row in the index, made when it is new.

    Raises IndexFileError when its vectors have another length than those that are held.
    """
    from qrank.store.interface import StoredModel

    if model.stored:
        if model.stored.dims != dims:
            raise IndexFileError(
                f"{model.choice.name} returns vectors with {dims} dimensions, but the index "
                f"{store.path} holds its vectors with {model.stored.dims}",
                hint="does the server run another model now?",
            )
        return model.stored
    with store.transaction():
        row = _row(store, model.identity)  # another run may have been quicker
        if row is None:
            new = (model.choice.name, model.identity, dims, PROMPT_VERSION)
            row = store.add_model(StoredModel(0, *new))
        return row


def switch(store: Store, row: StoredModel) -> list[str]:
    """Make a model whose vectors are complete the only one; returns the names of those that went.

    Nothing happens while another run has left unique texts without a vector.
    """
    with store.transaction():
        others = [model for model in store.models() if model.id != row.id]
        if not others or next(store.missing_vectors(row.id), None) is not None:
            return []
        for model in others:
            store.remove_model(model.id)
    return [model.name for model in others]
