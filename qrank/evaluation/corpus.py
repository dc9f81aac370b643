"""The throw-away index of a BEIR corpus. It stays in the user's cache folder for the next time."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from qrank.evaluation.dataset import records
from qrank.files import user_folder
from qrank.indexing.embed_missing import embed_missing
from qrank.indexing.index import EXTRACTOR
from qrank.indexing.records import add_records
from qrank.inference.index_model import model_for_indexing
from qrank.inference.loading import LazyEmbedder
from qrank.models.registry import Registry, Role
from qrank.progress import Progress
from qrank.store import open_store
from qrank.store.cache import Cache

if TYPE_CHECKING:
    from qrank.settings import Placement

COLLECTION = "corpus"


def cache_folder() -> Path:
    """Where indexes of corpora and unfinished runs are kept; all of it can be deleted."""
    return user_folder("cache") / "eval"


def index_corpus(
    corpus: Path,
    models: Registry,
    embed_model: str | None,
    placement: Placement,
    progress: Progress,
) -> Path:
    """The index file of a corpus, made or completed as far as it is not there yet.

    embed_model None leaves vectors out. Raises InputError for a malformed corpus, ModelError.
    """
    path = cache_folder() / f"{_identity(corpus, models, embed_model)}.db"
    if not path.exists():
        part = path.with_suffix(".part")
        for left in path.parent.glob(f"{part.name}*"):  # of an interrupted run
            left.unlink()
        with open_store(part, write=True) as store:
            add_records(store, records(corpus), COLLECTION, progress)
        part.rename(path)
    if embed_model is not None:
        with open_store(path, write=True) as store:
            model = model_for_indexing(store, Cache(), models, embed_model)
            with LazyEmbedder(model.choice, placement) as embedder:
                embed_missing(store, model, embedder, progress)
    return path


def _identity(corpus: Path, models: Registry, embed_model: str | None) -> str:
    """A file name that stands for a corpus as it is now, how it is cut up, and the model."""
    seen: list[object] = [str(corpus.resolve()), EXTRACTOR, *file_signature(corpus)]
    if embed_model is not None:
        model = models.resolve(Role.embedder, embed_model)
        seen += (
            [str(model.path), *file_signature(model.path)] if model.path else [model.entry.server]
        )
    name = re.sub(r"\W+", "-", corpus.resolve().parent.name)
    return f"{name}-{hashlib.sha256(repr(seen).encode()).hexdigest()[:16]}"


def file_signature(path: Path) -> tuple[int, int]:
    """(bytes, time of the last change in ns) of a file."""
    info = path.stat()
    return info.st_size, info.st_mtime_ns
