"""The Python API of an index, which the command line uses, too. Models are loaded on first use."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Unpack

from qrank.arguments import (
    FilterOptions,
    require_choice,
    require_count,
    require_progress,
    require_type,
    text_list,
)
from qrank.errors import InputError
from qrank.indexing.filling import Filling
from qrank.results import Answer, IndexedChunk, Mode, Sort, Stale
from qrank.settings import ANYWHERE, AUTO, NO_SETTINGS, Placement, Settings, Walking
from qrank.urls import IndexUrl, index_place

if TYPE_CHECKING:
    from qrank.analysis.links import Links
    from qrank.inference.loading import Embedder
    from qrank.progress import Progress
    from qrank.reports import Check, FieldCount, PathStatus
    from qrank.searching.search import Query
    from qrank.store.filters import Filter
    from qrank.store.interface import Store


class Index(Filling):
    """An index: the searchable content of some folders.

    Thread-safe: searches run in parallel, but for their use of a model; methods that write run one
    after another, and searches do not wait for them. Call close() when no thread uses it any more.

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
        path: str | Path | IndexUrl | None = None,
        *,
        embed_model: str | None = None,
        rerank_model: str | None = None,
        placement: Placement = ANYWHERE,
        settings: Settings = NO_SETTINGS,
    ) -> None:
        """path: the index file, which need not exist yet, or the URL of an index in a search
        engine; by default that of the settings, else the user's index. embed_model, rerank_model:
        as on the command line. placement: where models run. settings: see qrank.load_settings().
        Raises TypeError, and InputError for an invalid path or setting."""
        from qrank.searching.models import SearchModels
        from qrank.store.cache import Cache

        require_type("path", path, str, os.PathLike, IndexUrl, NoneType)
        require_type("embed_model", embed_model, str, NoneType)
        require_type("rerank_model", rerank_model, str, NoneType)
        require_type("placement", placement, Placement)
        require_type("settings", settings, Settings)
        self.path = settings.index_path(None if path is None else index_place(path))
        self._settings = settings
        self._embed_typed = embed_model is not None
        self._embed_name = settings.get("embed_model", embed_model, AUTO) or AUTO
        self._rerank_name = settings.get("rerank_model", rerank_model, AUTO) or AUTO
        self._placement = settings.placement(placement)
        self._cache = Cache()
        self._search_models = SearchModels(
            lambda: self.models,
            self._cache,
            self._placement,
            embed_model=self._embed_name,
            rerank_model=self._rerank_name,
            insists=embed_model not in (None, AUTO),
        )
        # Shared between threads:
        self._opening, self._writing = threading.Lock(), threading.Lock()
        self._readers: dict[threading.Thread, Store] = {}

    def close(self) -> None:
        """Close the index and free its models."""
        self._search_models.close()
        with self._opening:
            for store in self._readers.values():
                store.close()
            self._readers.clear()

    def create(self, *, shards: int | None = None, replicas: int | None = None) -> bool:
        """Create an empty index; returns False if it exists already. shards, replicas: of an index
        in a search engine; default: one of each."""
        from qrank.store import Layout, create_store

        return create_store(self.path, Layout(shards, replicas))

    def search(
        self,
        query: str | Sequence[str],
        *,
        mode: Mode | str = Mode.hybrid,
        limit: int = 10,
        rerank: bool | None = None,
        candidates: int = 30,
        budget: float | None = None,
        min_score: float | None = None,
        per_file: int | None = None,
        stale: Stale | str = Stale.warn,
        offset: int = 0,
        sort: Sort | str | None = None,
        regex: str | Sequence[str] = (),
        literal: str | Sequence[str] = (),
        copies: bool = False,
        correct: bool = False,
        unfinished: bool = False,
        answer_seconds: float | None = None,
        progress: Progress | None = None,
        **filter: Unpack[FilterOptions],
    ) -> Answer:
        """The chunks that answer query, best first; the answers to several queries are fused.

        rerank: default: in mode hybrid. candidates: how many of the fused candidates to rerank.
        budget: seconds after which reranking stops. answer_seconds: about how long the search may
        take; as many candidates are reranked as fit, or none if fewer than five fit. min_score:
        results with a lower score are skipped. per_file: at most so many results of one file.
        offset: so many of the best results are skipped. sort: the order of the results; default:
        best first. stale: how to treat results whose file has changed since indexing: warn (mark
        them), drop, or fail (IndexFileError). regex (RE2), literal: patterns that a chunk's text
        must match, all of them; with query "" all chunks that match, or pass the filter, are
        listed by path and line. copies: whether near-duplicates of a result are results of their
        own; else the result lists them. correct: search for answer.suggestions instead of words
        that occur in no document. unfinished: the last word is still being typed. progress:
        notified of each stage; an exception from it ends the search; if it has a method draft, that
        is called with the answer so far, before reranking and after each batch. filter: which
        documents to search (see FilterOptions). Raises InputError, IndexFileError, ModelError.
        """
        from qrank.searching.interpret.answer import answer as answer_to
        from qrank.searching.matching import matcher
        from qrank.searching.notices import notices
        from qrank.searching.search import Query

        mode = require_choice("mode", mode, Mode)
        require_type("rerank", rerank, bool, NoneType)
        require_type("copies", copies, bool)
        require_type("correct", correct, bool)
        require_type("unfinished", unfinished, bool)
        require_progress(progress)
        texts = text_list("query", query)
        if not texts:
            raise InputError("no query was given", hint="name what to search for")
        one = Query(
            text=texts[0],
            mode=mode,
            limit=limit,
            candidates=candidates,
            budget=budget,
            answer_seconds=answer_seconds,
            min_score=min_score,
            per_file=per_file,
            unfinished=unfinished,
            copies=copies,
            offset=offset,
            sort=None if sort is None else require_choice("sort", sort, Sort),
            stale=require_choice("stale", stale, Stale),
            filter=self._filter(filter),
            matcher=matcher(text_list("regex", regex), text_list("literal", literal)),
            calibrated=len(texts) == 1,
        )
        helps = self._search_models.reranker_helps
        reranks = mode is Mode.hybrid and helps(self._open()) if rerank is None else rerank
        answer = answer_to(
            self._open(),
            self._search_models,
            one,
            texts,
            rerank=reranks,
            correct=correct,
            progress=progress,
        )
        if not (unfinished and mode is Mode.bm25):  # not at every key press
            patterns = (*text_list("regex", regex), *text_list("literal", literal))
            answer.notices = notices(
                self._open(), answer, filter, min_score, texts=patterns, offset=offset
            )
        return answer

    def answer(self, query: Query, *, rerank: bool, progress: Progress | None = None) -> Answer:
        """As search, with a Query, which has further options."""
        from qrank.searching.search import search

        return search(self._open(), self._search_models, query, rerank=rerank, progress=progress)

    def similar(
        self,
        place: str,
        *,
        mode: Mode | str = Mode.vector,
        limit: int = 10,
        min_score: float | None = None,
        per_file: int | None = None,
        stale: Stale | str = Stale.warn,
        **filter: Unpack[FilterOptions],
    ) -> Answer:
        """The chunks most similar to a file, or to the chunk at PATH:LINE, by the vectors in the
        index; in mode bm25, or without vectors, by their words. The options are those of search.
        Raises InputError when the place is not in the index.
        """
        from qrank.searching.notices import notices
        from qrank.searching.search import Query
        from qrank.searching.similar import similar

        require_type("place", place, str)
        query = Query(
            place,
            require_choice("mode", mode, Mode),
            limit=limit,
            min_score=min_score,
            per_file=per_file,
            stale=require_choice("stale", stale, Stale),
            filter=self._filter(filter),
        )
        models = self._open().models()
        answer = similar(self._open(), place, query, models[0] if models else None)
        answer.notices = notices(self._open(), answer, filter, min_score, of_query=False)
        return answer

    def get(self, id: str) -> IndexedChunk:
        """The chunk with an id, which results have. Raises InputError when there is none."""
        from qrank.searching.places.lookup import by_id
        from qrank.searching.shown import indexed_chunk

        return indexed_chunk(by_id(self._open(), id))

    def indexed_content(self, id: str) -> bytes:
        """The bytes of the file that a chunk is from. Raises InputError when there is no such
        chunk, or the file can't be read or has changed since indexing."""
        from qrank.searching.places.lookup import by_id, content

        return content(by_id(self._open(), id))

    def at(self, place: str, *, around: int = 0) -> list[IndexedChunk]:
        """The chunks at a place: an id, PATH, PATH:FROM-TO, PATH:LINE, PATH#page=N, or a glob; with
        lines, only these. around: so many lines before and after them, too. Raises InputError when
        nothing is indexed there."""
        from qrank.searching.places.lookup import chunks_at

        require_type("place", place, str)
        return chunks_at(self._open(), place, around)

    def file_chunks(self, path: str) -> list[IndexedChunk]:
        """All chunks of an indexed file, in order; the file is not read. Raises InputError when it
        is not in the index."""
        from qrank.searching.places.lookup import chunks_of_path
        from qrank.searching.shown import indexed_chunk

        require_type("path", path, str)
        return [indexed_chunk(stored) for stored in chunks_of_path(self._open(), path)]

    def bm25_terms(self, answer: Answer) -> dict[str, dict[str, float]]:
        """The contribution of each query term to the BM25 score of each result: {result id: {term:
        score}}."""
        from qrank.searching.explain import bm25_terms

        require_type("answer", answer, Answer)
        return bm25_terms(self._open(), answer)

    def far_off(self, answer: Answer) -> str:
        """A notice for results that share few words and little meaning with the query, else "". It
        is a guess, so show it only to people, with the results."""
        from qrank.searching.notices import far_off

        require_type("answer", answer, Answer)
        return far_off(self._open(), lambda: self.models, answer)

    def count(self, **filter: Unpack[FilterOptions]) -> int:
        """The number of chunks that pass a filter (see FilterOptions)."""
        return self._open().count_chunks(self._filter(filter))

    def fields(self, **filter: Unpack[FilterOptions]) -> list[FieldCount]:
        """The fields of documents, rows and messages (front matter, headers, columns) that pass a
        filter, most frequent first."""
        return self._open().fields(self._filter(filter))

    def field_values(
        self, name: str, *, limit: int = 20, **filter: Unpack[FilterOptions]
    ) -> FieldCount:
        """A field with its most frequent values, at most `limit`. Raises InputError when there is
        no such field."""
        from qrank.searching.where import field_values

        require_type("name", name, str)
        require_count("limit", limit)
        return field_values(self._open(), name, self._filter(filter), limit)

    def links(self, path: str) -> Links:
        """The links of an indexed document (Markdown, wiki-links, HTML, Org, rST), the links to it,
        and unlinked mentions of its title. Raises InputError when it is not in the index."""
        from qrank.searching.places.links import Graph

        require_type("path", path, str)
        return Graph(self._open()).of(path)

    def _filter(self, options: FilterOptions) -> Filter:
        from qrank.searching.build_filter import build_filter

        return build_filter(**options, store=self._open())

    @property
    def decoded(self) -> int:
        """How many tokens the models have decoded since they were loaded."""
        return self._search_models.decoded

    def status(self) -> dict[str, Any]:
        """The status of the index as `qrank status --json` has it: files, chunks, bytes,
        collections, models, models in use."""
        from qrank.models import in_use
        from qrank.store.interface import CollectionSettings

        settings = self._open().collection_settings()
        status = self._open().status() | {"cached": self._cache.count()}
        for collection in status["collections"]:
            own = settings.get(collection["name"], CollectionSettings())
            collection |= own._asdict() | {"ignore": list(own.ignore)}
        return status | in_use.about(
            self.models, self._embed_name, self._rerank_name, status["models"]
        )

    def path_status(self, path: str | Path, *, walking: Walking | None = None) -> PathStatus:
        """When and in which format a file was indexed, or why it was not; for a folder, the numbers
        of files by reason. walking: which files are indexed. Raises InputError for a path that does
        not exist and is not in the index."""
        from qrank.indexing.file_status import path_status

        require_type("path", path, str, os.PathLike)
        require_type("walking", walking, Walking, NoneType)
        return path_status(self._open(), str(path), walking or Walking())

    def check(self) -> list[Check]:
        """Check whether the index is intact and complete."""
        return self._open().check()

    def vacuum(self) -> None:
        """Reclaim the space of removed documents. Temporarily needs as much free disk space as the
        index takes."""
        with self._write() as store:
            store.vacuum()

    def export(
        self,
        *,
        collections: str | Sequence[str] = (),
        path: str | None = None,
        vectors: bool = True,
    ) -> Iterator[dict[str, Any]]:
        """Export the index as objects for JSON Lines: models, documents, chunks, vectors."""
        from qrank.indexing.transfer import export
        from qrank.searching.build_filter import build_filter

        require_type("vectors", vectors, bool)
        filter = build_filter(collections, path)
        return export(self._open(), filter, vectors=vectors)

    def import_lines(
        self, lines: Iterable[str], name: str = "", *, moved: Mapping[str, str] | None = None
    ) -> tuple[int, int]:
        """Import the JSON Lines of an export; returns the numbers of (documents, vectors). name: of
        the input, for errors. moved: {path of a file or folder in the lines: its path now}.

        Raises InputError for an invalid line; the lines before it have been imported then, but no
        index is created for a file that is not an export.
        """
        from qrank.indexing.transfer import Importer, checked
        from qrank.store import open_store

        require_type("lines", lines, Iterable)
        if isinstance(lines, str | bytes):
            raise TypeError("lines must be several lines, not one text")
        lines = checked(lines, name)
        with self._writing, open_store(self.path, write=True) as store:
            importer = Importer(store, moved or {})
            importer.read(lines, name)
        return importer.files, importer.vectors

    def examine(self, progress: Progress | None = None) -> Iterator[Check]:
        """Check this machine and the models in use; progress is notified of each check."""
        from qrank.progress import Silent
        from qrank.upkeep.doctor import examine

        require_progress(progress)
        return examine(
            self.models, self._embed_name, self._rerank_name, self._placement, progress or Silent()
        )

    def clear_cache(self) -> int:
        """Delete the cached scores and query vectors, of all indexes; returns their number."""
        count = self._cache.count()
        self._cache.clear()
        return count

    def has_vectors(self) -> bool:
        """Whether the index has vectors."""
        return bool(self._open().models())

    def missing_vectors(self) -> tuple[int, int]:
        """(number of chunks without a vector, number of chunks), for the model that searches use;
        (0, 0) if the index has no vectors at all. Vectors are missing after an interrupted run."""
        models = self._open().models()
        return self._open().count_missing(models[0].id) if models else (0, 0)

    def _bundled_embedder(
        self, store: Store
    ) -> tuple[int, Callable[[], AbstractContextManager[Embedder]]] | None:
        """The id and use() of the model of the index's vectors, if it is the bundled one."""
        model = self._search_models.bundled(store)
        return (model.stored.id, model.use) if model else None

    def _open(self) -> Store:
        """The index opened for reading; each thread has its own SQLite connection."""
        from qrank.store import open_store

        thread = threading.current_thread()
        with self._opening:
            opened = self._readers.get(thread)
            if opened is None:
                for ended in [other for other in self._readers if not other.is_alive()]:
                    self._readers.pop(ended).close()
                opened = self._readers[thread] = open_store(self.path)
            return opened
