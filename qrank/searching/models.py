"""The models that an index is searched with, loaded when they are first needed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from qrank.errors import QrankError
from qrank.models.registry import AUTO, Role
from qrank.results import Mode
from qrank.searching.interpret.instruction import instruction
from qrank.store.filters import EVERYTHING, Filter

if TYPE_CHECKING:  # a search by words does without
    from qrank.inference.loading import Embedder, Reranker
    from qrank.inference.shared import Shared
    from qrank.models.registry import ModelChoice, Registry
    from qrank.settings import Placement
    from qrank.store.cache import Cache
    from qrank.store.interface import Store, StoredModel

log = logging.getLogger("qrank")


@dataclass(frozen=True, slots=True)
class Semantic:
    """The model of the index's vectors; use loads it when it is first needed."""

    stored: StoredModel
    choice: ModelChoice
    use: Callable[[], AbstractContextManager[Embedder]]
    begin: Callable[[], None]  # loading it, in a thread of its own
    instruction: str = ""  # that goes with the query, where the model takes one

    @property
    def key(self) -> str:
        """What a query's vector depends on, besides the query."""
        end = f"\n{self.instruction}" if self.instruction else ""
        return self.stored.sha256 + (self.choice.entry.query or "") + end


@dataclass(frozen=True, slots=True)
class Rerank:
    """A reranker; use loads it when it is first needed."""

    choice: ModelChoice
    sha256: str
    use: Callable[[], AbstractContextManager[Reranker]]
    begin: Callable[[], None]


class SearchModels:
    """An embedder and a reranker, which several threads share. `cache` holds their answers."""

    def __init__(
        self,
        registry: Registry,
        cache: Cache,
        placement: Placement,
        *,
        embed_model: str,
        rerank_model: str,
        insists: bool = False,
    ) -> None:
        """Models are named as on the command line. insists: an index that was made with another
        model than embed_model is not searched."""
        self.cache = cache
        self._registry, self._placement = registry, placement
        self._embed_model, self._rerank_model = embed_model, rerank_model
        self._insists = insists
        self._lock = threading.Lock()  # a search by words must not wait for a model that loads
        self._semantic: Semantic | None = None
        self._rerank: Rerank | None = None
        self._embedder: Shared[Embedder] | None = None
        self._reranker: Shared[Reranker] | None = None

    @property
    def decoded(self) -> int:
        """How many tokens the models have computed since they were loaded."""
        return sum(model.decoded for model in (self._embedder, self._reranker) if model)

    def close(self) -> None:
        """Free the models as soon as no thread uses them."""
        with self._lock:
            for model in (self._embedder, self._reranker):
                if model:
                    model.give_up()
            self._semantic = self._rerank = self._embedder = self._reranker = None

    def semantic(self, store: Store, mode: Mode, filter: Filter = EVERYTHING) -> Semantic | None:
        """The model of an index's vectors, with the instruction for queries of what passes a
        filter; None for a search by words, and where there are no vectors that can be searched:
        those of another version of qrank cost a hybrid search a warning, a vector search its
        answer."""
        rows = [] if mode is Mode.bm25 else store.models()
        if not rows:
            return None
        from qrank.inference.index_model import OutdatedVectors

        try:
            model = self._of_vectors(store, rows[0])
            return replace(model, instruction=instruction(store, filter))
        except OutdatedVectors as error:
            if mode is Mode.vector:
                raise
            log.warning("searched by keywords only: %s", error)
            return None

    def bundled(self, store: Store) -> Semantic | None:
        """The model of an index's vectors where it is the one that comes with qrank."""
        rows = store.models()
        with suppress(QrankError, OSError):  # which the search itself tells of
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
                    store, self.cache, self._registry, self._embed_model, insists=self._insists
                )
                assert model.stored is not None
                # A search that has begun with the model of before may go on with it.
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
        """Begin to load what a query will need, in threads of their own: nothing where its vector
        is cached, since then its scores mostly are, too. seconds: what the search may take."""
        from qrank.inference.cache import known_vector
        from qrank.searching.promise import may_be_enough

        cache = self.cache if cached else None
        if known_vector(cache, semantic.key, query, semantic.stored.dims) is not None:
            return
        if semantic.choice.path:
            semantic.begin()
        if rerank:
            # An error is raised when it is certain that the reranker is needed.
            with suppress(QrankError, OSError):
                reranker = self.reranker()
                enough = seconds is None or may_be_enough(self.cache, reranker.sha256, seconds)
                if reranker.choice.path and enough:
                    reranker.begin()

    def reranker_helps(self, store: Store) -> bool:
        """Whether a search reranks by default: not by a model that does not help behind the
        embedder of the index, unless the user named it."""
        best = self._registry.best_installed(Role.reranker)
        if self._rerank_model != AUTO or best is None:
            return True
        return not any(row.name in best.not_behind for row in store.models()[:1])

    def reranker(self) -> Rerank:
        """The reranker. Raises ModelError when there is none of that name."""
        from qrank.inference.loading import identity, load_reranker
        from qrank.inference.shared import Shared

        with self._lock:
            if self._rerank is None:
                choice = self._registry.resolve(Role.reranker, self._rerank_model)
                shared = Shared(partial(load_reranker, choice, self._placement))
                own = identity(self.cache, choice)
                self._reranker = shared
                self._rerank = Rerank(choice, own, shared.use, shared.begin)
            return self._rerank
