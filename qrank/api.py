"""The Python API, which the command line uses too. Models load when first needed, and stay."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from qrank import settings
from qrank.errors import InputError
from qrank.models.registry import AUTO, Role, resolve
from qrank.results import Answer, Check, IndexReport, Mode, RankedText
from qrank.settings import ANYWHERE, Placement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qrank.pipeline.loading import Embedder, Reranker
    from qrank.pipeline.progress import Progress
    from qrank.pipeline.search import Query, Rerank, Semantic
    from qrank.store import Store

DEFAULT_COLLECTION = "default"

log = logging.getLogger("qrank")


class Index:
    """An index file: what is under some folders, searchable.

    >>> import qrank, tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "tea.md").write_text("# Tea\\n\\nSteep green tea for two minutes.\\n")
    >>> with qrank.Index(folder / "index.db") as index:
    ...     _ = index.add([folder / "tea.md"])
    ...     index.search("how long does green tea steep").results[0].heading
    'Tea'
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        embed_model: str | None = None,
        rerank_model: str | None = None,
        placement: Placement = ANYWHERE,
    ) -> None:
        """path: the index file, which need not exist yet; by default the one the command line
        would use here. Models are named as on the command line; placement: where they run."""
        self._presets = presets = settings.load()
        self.path = presets.index_path(Path(path) if path is not None else None)
        self._insists = embed_model not in (None, AUTO)
        self._embed_name = presets.get("embed_model", embed_model, AUTO) or AUTO
        self._rerank_name = presets.get("rerank_model", rerank_model, AUTO) or AUTO
        self._placement = presets.placement(placement)
        self._reader: Store | None = None
        self._semantic: Semantic | None = None
        self._rerank: Rerank | None = None
        self._embedder: Embedder | None = None
        self._reranker: Reranker | None = None

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and free the models."""
        for opened in (self._reader, self._embedder, self._reranker):
            if opened:
                opened.close()
        self._reader = self._semantic = self._rerank = self._embedder = self._reranker = None

    def create(self) -> None:
        """Make the index file, empty, unless it is there."""
        from qrank.store import Store

        Store(self.path, write=True).close()

    def add(
        self,
        paths: Iterable[str | Path],
        *,
        collection: str | None = None,
        embed: bool = True,
        progress: Progress | None = None,
    ) -> IndexReport:
        """Index files and folders, or bring them up to date; what is gone below them is removed.

        Files that can't be read are in the report. Raises InputError for a path that does not
        exist, IndexFileError or ModelError when the index or the model can't be used.
        """
        from qrank.pipeline.embedding import model_for_indexing
        from qrank.pipeline.index import existing, index_paths
        from qrank.pipeline.progress import Silent
        from qrank.store import Store

        roots = existing(Path(path) for path in paths)  # before an index file is made
        name = collection or self._presets.get("collection") or DEFAULT_COLLECTION
        with Store(self.path, write=True) as store:
            model = model_for_indexing(store, self._embed_name) if embed else None
            return index_paths(store, roots, name, model, self._placement, progress or Silent())

    def search(
        self,
        query: str,
        *,
        mode: Mode | str = Mode.hybrid,
        limit: int = 10,
        rerank: bool | None = None,
        candidates: int = 30,
        budget: float | None = None,
        collections: Sequence[str] = (),
        path: str | None = None,
        min_score: float | None = None,
    ) -> Answer:
        """The passages that answer query, best first.

        rerank: by default only in mode hybrid. candidates: how many of the fused order are
        reranked. budget: seconds after which reranking stops. path: a glob. min_score: results
        below are left out. Raises InputError, IndexFileError, ModelError.
        """
        from qrank.pipeline.search import Query
        from qrank.store.filters import Filter

        mode = Mode(mode)
        wanted = Query(
            text=query,
            mode=mode,
            limit=limit,
            candidates=candidates,
            budget=budget,
            min_score=min_score,
            where=Filter.of(tuple(collections), path),
        )
        return self.answer(wanted, rerank=mode is Mode.hybrid if rerank is None else rerank)

    def answer(self, query: Query, *, rerank: bool) -> Answer:
        """As search, with all that a query can say."""
        from qrank.pipeline.search import search

        has_vectors = query.mode is not Mode.bm25 and self._usable_vectors(query.mode)
        return search(
            self._open(),
            query,
            self._find_semantic if has_vectors else None,
            self._find_reranker if rerank else None,
        )

    @property
    def decoded(self) -> int:
        """How many tokens the models have computed since they were loaded."""
        return sum(model.decoded for model in (self._embedder, self._reranker) if model)

    def status(self) -> dict[str, Any]:
        """What the index holds: files, chunks, bytes, collections, models."""
        return self._open().status()

    def check(self) -> list[Check]:
        """Whether the index file is whole, and complete; one Check each."""
        return self._open().check()

    def examine(self) -> Iterator[Check]:
        """Whether this machine, and the models in use here, are fit, a Check each."""
        from qrank.pipeline.doctor import examine

        return examine(self._embed_name, self._rerank_name, self._placement)

    def clear_cache(self) -> int:
        """Forget the models' cached answers to earlier searches; returns how many there were."""
        from qrank.store import Store

        self.status()  # raises when there is no index: none is made
        with Store(self.path, write=True) as store:
            return store.clear_cache()

    def has_vectors(self) -> bool:
        """Whether the index can be searched by meaning."""
        return bool(self._open().models())

    def _usable_vectors(self, mode: Mode) -> bool:
        """Whether there are vectors that can be searched; those of another version of qrank cost
        a hybrid search a warning, a vector search its answer."""
        from qrank.pipeline.embedding import OutdatedVectors

        if not self.has_vectors():
            return False
        try:
            self._find_semantic()
        except OutdatedVectors as error:
            if mode is Mode.vector:
                raise
            log.warning("words alone were compared: %s", error)
            return False
        return True

    def _open(self) -> Store:
        from qrank.store import Store

        if self._reader is None:
            self._reader = Store(self.path)
        return self._reader

    def _find_semantic(self) -> Semantic:
        from qrank.pipeline.embedding import model_for_search
        from qrank.pipeline.search import Semantic

        if self._semantic is None:
            model = model_for_search(self._open(), self._embed_name, insists=self._insists)
            assert model.stored is not None
            self._semantic = Semantic(model.stored, model.choice, self._load_embedder)
        return self._semantic

    def _load_embedder(self) -> Embedder:
        from qrank.pipeline.loading import load_embedder

        if self._embedder is None:
            self._embedder = load_embedder(self._find_semantic().choice, self._placement)
        return self._embedder

    def _find_reranker(self) -> Rerank:
        from qrank.pipeline.loading import identity
        from qrank.pipeline.search import Rerank

        if self._rerank is None:
            choice = resolve(Role.reranker, self._rerank_name)
            self._rerank = Rerank(choice, identity(self._open(), choice), self._load_reranker)
        return self._rerank

    def _load_reranker(self) -> Reranker:
        from qrank.pipeline.loading import load_reranker

        if self._reranker is None:
            self._reranker = load_reranker(self._find_reranker().choice, self._placement)
        return self._reranker


def rerank(
    query: str,
    texts: Sequence[str],
    *,
    model: str | None = None,
    instruction: str | None = None,
    candidates: int | None = None,
    placement: Placement = ANYWHERE,
) -> list[RankedText]:
    """Score texts by how well they answer query, best first; the model reads exactly the texts.

    candidates: with more texts than that, only BM25's best are scored. Raises InputError for an
    empty query, ModelError.
    """
    from qrank.pipeline.loading import load_reranker
    from qrank.pipeline.rerank import rerank_texts

    if not query.strip():
        raise InputError("the query is empty", hint="say what the documents should answer")
    if not texts:
        return []
    presets = settings.load()
    choice = resolve(Role.reranker, presets.get("rerank_model", model, AUTO) or AUTO)
    reranker = load_reranker(choice, presets.placement(placement))
    try:
        share = choice.entry.rerank_weight
        return rerank_texts(
            reranker, share, query, texts, candidates=candidates, instruction=instruction
        )
    finally:
        reranker.close()


class Embedding:
    """An embedding model, loaded: texts in, unit vectors out."""

    def __init__(self, model: str | None = None, *, placement: Placement = ANYWHERE) -> None:
        """model: named as on the command line. Raises ModelError."""
        from qrank.pipeline.loading import load_embedder

        presets = settings.load()
        choice = resolve(Role.embedder, presets.get("embed_model", model, AUTO) or AUTO)
        self._embedder = load_embedder(choice, presets.placement(placement))

    def __call__(
        self,
        texts: Sequence[str],
        *,
        query: bool = False,
        instruction: str | None = None,
        dims: int | None = None,
    ) -> NDArray[np.float32]:
        """Unit vectors of shape (len(texts), dims); with query, the query prompt is put around."""
        if query:
            return self._embedder.queries(texts, instruction, dims)
        return self._embedder.documents(texts, dims)

    @property
    def cut(self) -> list[int]:
        """Which texts of the last call were longer than the window, so that their ends count for
        nothing."""
        return self._embedder.cut

    @property
    def window(self) -> int:
        """How many tokens of a text the model reads."""
        return self._embedder.window

    def close(self) -> None:
        """Free the model."""
        self._embedder.close()


def embed(
    texts: Sequence[str],
    *,
    model: str | None = None,
    query: bool = False,
    instruction: str | None = None,
    dims: int | None = None,
    placement: Placement = ANYWHERE,
) -> NDArray[np.float32]:
    """Unit vectors of texts, of shape (len(texts), dims). For many calls use Embedding."""
    embedding = Embedding(model, placement=placement)
    try:
        return embedding(texts, query=query, instruction=instruction, dims=dims)
    finally:
        embedding.close()
