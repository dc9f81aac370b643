"""The models that an index is searched with. They are loaded on first use."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from qrank.errors import QrankError
from qrank.results import Mode
from qrank.searching.interpret.instruction import instruction
from qrank.settings import AUTO
from qrank.store.filters import EVERYTHING, Filter

if TYPE_CHECKING:
    from qrank.inference.loading import Embedder, Reranker
    from qrank.inference.shared import Shared
    from qrank.models.registry import ModelChoice, Registry
    from qrank.settings import Placement
    from qrank.store.cache import Cache
    from qrank.store.interface import Store, StoredModel

log = logging.getLogger("qrank")


class Semantic(NamedTuple):
    """The embedding model of the index's vectors; use() loads it on first use."""

    stored: StoredModel
    choice: ModelChoice
    use: Callable[[], AbstractContextManager[Embedder]]
    begin: Callable[[], None]  # begins to load it, in a thread of its own
    instruction: str = ""  # for the query, where the model takes one; "": the model's default

    @property
    def key(self) -> str:
        """The cache key of a query's vector, besides the query itself."""
        end = f"\n{self.instruction}" if self.instruction else ""
        return self.stored.sha256 + (self.choice.entry.query or "") + end


class Rerank(NamedTuple):
    """A reranker; use() loads it on first use. sha256: of its file, or its id at a server."""

    choice: ModelChoice
    sha256: str
    use: Callable[[], AbstractContextManager[Reranker]]
    begin: Callable[[], None]


class SearchModels:
    """An embedder and a reranker, shared between threads. `cache` has their cached results."""

    def __init__(
        self,
        registry: Callable[[], Registry],
        cache: Cache,
        placement: Placement,
        *,
        embed_model: str,
        rerank_model: str,
        insists: bool = False,
    ) -> None:
        """registry: makes the registry, when a model is needed. Models are named as on the command
        line. insists: refuse to search an index whose vectors are of another model than
        embed_model."""
        self.cache = cache
        self._registry, self._placement = registry, placement
        self._embed_model, self._rerank_model = embed_model, rerank_model
        self._insists = insists
        self._lock = threading.Lock()  # held while choosing a model, not while loading it
        self._semantic: Semantic | None = None
        self._rerank: Rerank | None = None
        self._embedder: Shared[Embedder] | None = None
        self._reranker: Shared[Reranker] | None = None

    @property
    def decoded(self) -> int:
        """How many tokens the models have decoded since they were loaded."""
        return sum(model.decoded for model in (self._embedder, self._reranker) if model)

    def close(self) -> None:
        """Free the models as soon as no thread uses them."""
        with self._lock:
            for model in (self._embedder, self._reranker):
                if model:
                    model.give_up()
            self._semantic = self._rerank = self._embedder = self._reranker = None

    def semantic(self, store: Store, mode: Mode, filter: Filter = EVERYTHING) -> Semantic | None:
        """The model of an index's vectors, with the instruction for the collections in filter.

        None for mode bm25, and for an index without vectors. Vectors of another version of qrank
        can't be searched: mode hybrid logs a warning and gets None, mode vector raises
        OutdatedVectors.
        """
        rows = [] if mode is Mode.bm25 else store.models()
        if not rows:
            return None
        from qrank.inference.index_model import OutdatedVectors

        try:
            model = self._of_vectors(store, rows[0])
            return model._replace(instruction=instruction(store, filter))
        except OutdatedVectors as error:
            if mode is Mode.vector:
                raise
            log.warning("searched by keywords only: %s", error)
            return None

    def bundled(self, store: Store) -> Semantic | None:
        """The model of an index's vectors if it is the one that comes with qrank, else None."""
        rows = store.models()
        with suppress(QrankError, OSError):  # the search itself reports them
            model = self._of_vectors(store, rows[0]) if rows else None
            return model if model and model.choice.entry.bundled else None
        return None

    def _of_vectors(self, store: Store, row: StoredModel) -> Semantic:
        from qrank.inference.index_model import model_for_search
        from qrank.inference.loading import load_embedder
        from qrank.inference.shared import Shared

        with self._lock:
            current = self._semantic
            if current is None or current.stored != row:
                model = model_for_search(
                    store, self.cache, self._registry(), self._embed_model, insists=self._insists
                )
                assert model.stored is not None
                # Searches that already use the previous model finish with it.
                if self._embedder:
                    self._embedder.give_up()
                self._embedder = Shared(partial(load_embedder, model.choice, self._placement))
                shared = self._embedder
                current = Semantic(model.stored, model.choice, shared.use, shared.begin)
                self._semantic = current
            return current

    def begin(
        self, semantic: Semantic, query: str, *, cached: bool, rerank: bool, seconds: float | None
    ) -> None:
        """Begin to load the models that a query will need, in the background. Nothing is loaded if
        the query's vector is cached, since then its scores mostly are, too. rerank: whether the
        reranker will be needed; seconds: the time limit of the search."""
        from qrank.inference.cache import known_vector
        from qrank.searching.time_limit import may_be_enough

        cache = self.cache if cached else None
        if known_vector(cache, semantic.key, query, semantic.stored.dims) is not None:
            return
        if semantic.choice.path:
            semantic.begin()
        if rerank:
            # Errors are ignored here: they are raised once the reranker is really needed.
            with suppress(QrankError, OSError):
                reranker = self.reranker()
                enough = seconds is None or may_be_enough(self.cache, reranker.sha256, seconds)
                if reranker.choice.path and enough:
                    reranker.begin()

    def reranker_helps(self, store: Store) -> bool:
        """Whether a search reranks by default: not if the registry says that the default reranker
        does not improve the results of the index's embedder; a reranker the user chose always."""
        from qrank.models.registry import Role

        best = self._registry().best_installed(Role.reranker)
        if self._rerank_model != AUTO or best is None:
            return True
        return not any(row.name in best.not_behind for row in store.models()[:1])

    def reranker(self) -> Rerank:
        """The reranker. Raises ModelError when there is no model of that name."""
        from qrank.inference.loading import identity, load_reranker
        from qrank.inference.shared import Shared
        from qrank.models.registry import Role

        with self._lock:
            if self._rerank is None:
                choice = self._registry().resolve(Role.reranker, self._rerank_model)
                shared = Shared(partial(load_reranker, choice, self._placement))
                own = identity(self.cache, choice)
                self._reranker = shared
                self._rerank = Rerank(choice, own, shared.use, shared.begin)
            return self._rerank
