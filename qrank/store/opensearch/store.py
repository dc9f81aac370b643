"""The store in a search engine. `interface.py` specifies the methods, docs/engines.md the
differences."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qrank.names import composed
from qrank.reports import Check, FieldCount, ValueCount
from qrank.results import NewChunk, StoredChunk
from qrank.store import Layout
from qrank.store.filters import EVERYTHING, Filter
from qrank.store.interface import NO_VARIANTS, NewDocument
from qrank.store.opensearch import counts, entries, mapping, queries, state
from qrank.store.opensearch.client import Engine
from qrank.store.opensearch.documents import Documents, missing_of, texts_and_missing
from qrank.store.opensearch.queries import Query, among, every, has_vector
from qrank.store.opensearch.reading import MOST, PAGE, Hit
from qrank.store.opensearch.vocabulary import Vocabulary
from qrank.urls import IndexUrl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEEN_SECONDS, MOST_SEEN = 3.0, 4000  # for which chunks are cached, and their number
LOOKED_AT = 300  # candidates of the vector search per shard, at least, for better recall
SLACK = 50  # added to the limit of the vector search, as a unique text may have several entries


def create(place: IndexUrl, layout: Layout) -> bool:
    """Create an empty index at place unless it exists; returns whether it was created."""
    with Engine(place) as engine:
        return state.create(engine, layout.shards, layout.replicas)


class OpenSearchStore(Documents):
    """An index in an engine. Every method may raise IndexFileError."""

    # The engine stores the lengths of texts in one byte, and searches vectors with HNSW.
    exact_bm25 = exhaustive = False
    adds_vectors_anew = True

    def __init__(self, place: IndexUrl, *, write: bool = False) -> None:
        """Open the index at place; write: create it when it is missing."""
        super().__init__(place, write=write)
        # A cache of chunks by id, with the version of their document, and whether that has others.
        self._seen: dict[int, tuple[StoredChunk, str, bool]] = {}
        self._chunks_by_text: dict[tuple[int, Filter], list[int]] = {}  # all chunk ids of texts
        self._missing: dict[int, tuple[int, int]] = {}  # count_missing by model
        self._seen_at = 0.0

    # Candidates

    def bm25(
        self,
        terms: Sequence[str],
        limit: int,
        filter: Filter,
        prefixes: Sequence[str] = (),
        variants: Mapping[str, Sequence[str]] = NO_VARIANTS,
    ) -> list[tuple[int, float]]:
        """The limit best (chunk id, BM25 score) for any of terms, best first, at most 10,000."""
        if not terms and not prefixes and not variants and not filter.required:
            return []
        return self._scored(terms, limit, filter, prefixes, variants)

    def _scored(
        self,
        terms: Sequence[str],
        limit: int,
        filter: Filter,
        prefixes: Sequence[str],
        variants: Mapping[str, Sequence[str]],
        *scoring: Query,
    ) -> list[tuple[int, float]]:
        self._before()
        passes = [*scoring, *self._reader.of_chunk(filter)]
        hidden = self._reader.hidden()
        body = {
            "size": min(limit, MOST),
            "query": queries.scored(terms, prefixes, variants, filter, passes, hidden),
            "_source": mapping.SHOWN,
            "sort": [{"_score": "desc"}, {"id": "asc"}],
        }
        hits = self._reader.hits(body, search_type="dfs_query_then_fetch")
        self._keep(hits)
        return [(hit["_source"]["id"], float(hit["_score"])) for hit in hits]

    def term_scores(
        self,
        terms: Sequence[str],
        chunks: Sequence[int],
        prefixes: Sequence[str] = (),
        variants: Mapping[str, Sequence[str]] = NO_VARIANTS,
        filter: Filter = EVERYTHING,
    ) -> dict[int, float]:
        """The part of BM25 scores that comes from terms and a filter's required phrases."""
        if not chunks:
            return {}
        own: Query = {"terms": {"id": list(chunks)}}
        return dict(self._scored(terms, len(chunks), filter, prefixes, variants, own))

    def nearest(
        self, model: int, query: NDArray[np.float32], limit: int, filter: Filter
    ) -> list[tuple[int, float]]:
        """About the limit best (text id, cosine) for a unit query of shape (dims,), best first.
        Counts missing vectors in the same request, as a search asks for that next."""
        self._before(vectors=True)
        size = min(MOST, max(2 * limit, limit + SLACK))
        k = min(MOST, max(2 * size, LOOKED_AT))
        passes = self._chunks_that(filter)
        dialect = self._shared.read().dialect
        search = dialect.nearest(f"v{model}", query.astype(float).tolist(), k, passes)
        counted = {"filter": self._kind("chunk"), "aggs": texts_and_missing(model)}
        hits, groups = self._reader.hits_and_groups(
            {
                "size": size,
                "query": search,
                "_source": mapping.SHOWN,
                "aggs": {"index": {"global": {}, "aggs": {"chunks": counted}}},
            }
        )
        self._keep(hits)
        self._missing[model] = missing_of(groups["index"]["chunks"])
        cosines: dict[int, float] = {}
        chunks: dict[int, list[int]] = {}
        for hit in hits:
            source = hit["_source"]
            cosines.setdefault(source["passage"], mapping.cosine(hit["_score"]))
            chunks.setdefault(source["passage"], []).append(source["id"])
        ranked = sorted(cosines.items(), key=lambda item: (-item[1], item[0]))
        if len(ranked) > limit or len(hits) < size:  # the hits have all chunks of these texts
            by_text = {(text_id, filter): chunks[text_id] for text_id, _ in ranked[:limit]}
            self._chunks_by_text |= by_text
        return ranked[:limit]

    def count_missing(self, model: int) -> tuple[int, int]:
        """(unique texts without a vector of the model, all), approximate above 40,000."""
        self._drop_old()
        return self._missing.pop(model, None) or super().count_missing(model)

    def cosines(
        self, model: int, query: NDArray[np.float32], text_ids: Sequence[int]
    ) -> dict[int, float]:
        """Cosines with a unit query of shape (dims,), of those texts that have a vector."""
        self._before(vectors=True)
        dialect, name = self._shared.read().dialect, f"v{model}"
        result: dict[int, float] = {}
        for page in among("passage", text_ids, PAGE):
            compared = self._kind("chunk", page, has_vector(model))
            search = dialect.compared(name, query.astype(float).tolist(), compared)
            body = {"size": MOST, "query": search, "_source": ["passage"]}
            for hit in self._reader.hits(body | {"collapse": {"field": "passage"}}):
                result[hit["_source"]["passage"]] = mapping.cosine(hit["_score"])
        return result

    def vectors(self, model: int, text_ids: Sequence[int]) -> tuple[list[int], NDArray[np.float32]]:
        """(ids of those texts that have a vector, their unit vectors of shape (n, dims))."""
        import numpy as np

        self._before(vectors=True)
        name = f"v{model}"
        result: dict[int, list[float]] = {}
        for page in among("passage", text_ids, PAGE):
            query = self._kind("chunk", page, has_vector(model))
            body = {"size": PAGE, "query": query, "_source": ["passage", name]}
            for hit in self._reader.hits(body | {"collapse": {"field": "passage"}}):
                result[hit["_source"]["passage"]] = hit["_source"][name]
        ids = [text_id for text_id in text_ids if text_id in result]
        if not ids:
            return [], np.empty((0, 0), dtype=np.float32)
        with self._checked():
            rows = np.array([result[text_id] for text_id in ids], dtype=np.float32)
        return ids, rows / np.linalg.norm(rows, axis=1, keepdims=True)

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The words of documents before stemming; None in an index of an older version."""
        return Vocabulary(self._engine) if self._shared.read().has_vocabulary else None

    def count_holding(self, groups: Sequence[Sequence[str]], most: int) -> list[int]:
        """For each group of terms, the number of chunks that have any of them, up to most."""
        if not groups:
            return []
        aggs = {f"{i}": {"filter": {"terms": {"terms": [*own]}}} for i, own in enumerate(groups)}
        counts = self._reader.groups(self._kind("chunk"), **aggs)
        return [min(most, counts[name]["doc_count"]) for name in aggs]

    def siblings(self, chunks: Sequence[int]) -> dict[int, int]:
        """Those chunks whose document has more than one, each with an id of its document."""
        found = self._fetch(chunks).items()
        return {chunk: entries.number(version) for chunk, (_, version, more) in found if more}

    def named_chunks(self, key: str, filter: Filter, limit: int) -> list[int]:
        """The first limit chunks of documents with a name key that pass the filter."""
        query = self._chunks_that(filter, {"term": {"names": key}})
        order = [{name: "asc"} for name in ("path", "member", "id")]
        hits = self._reader.hits(
            {"size": min(limit, MOST), "query": query, "sort": order, "_source": mapping.SHOWN}
        )
        self._keep(hits)
        return [hit["_source"]["id"] for hit in hits]

    # Fetching

    def _forget(self) -> None:
        self._seen.clear()
        self._chunks_by_text.clear()
        self._missing.clear()

    def _drop_old(self) -> None:
        """Drop the cache if it is old, or too large, or this process changed the index since."""
        oldest = max(time.monotonic() - SEEN_SECONDS, self._shared.changed_at)
        if self._seen_at < oldest or len(self._seen) > MOST_SEEN:
            self._forget()
            self._seen_at = time.monotonic()

    def _keep(self, hits: Sequence[Hit]) -> dict[int, tuple[StoredChunk, str, bool]]:
        """Chunks from hits, which are cached, as a search usually fetches its hits next."""
        self._drop_old()
        found: dict[int, tuple[StoredChunk, str, bool]] = {}
        with self._checked():
            for source in (hit["_source"] for hit in hits):
                chunk = self._stored_chunk(source)
                found[chunk.id] = (chunk, source["version"], not source["single"])
        self._seen |= found
        return found

    def _fetch(self, ids: Sequence[int]) -> dict[int, tuple[StoredChunk, str, bool]]:
        """Those of some chunks that exist, from the cache or the engine."""
        self._drop_old()
        found = {i: self._seen[i] for i in ids if i in self._seen}
        missing = [i for i in ids if i not in found]
        for page in among("id", missing, PAGE):
            body = {"size": PAGE, "query": self._kind("chunk", page), "_source": mapping.SHOWN}
            found |= self._keep(self._reader.hits(body))
        return found

    def chunks(self, ids: Iterable[int]) -> dict[int, StoredChunk]:
        """Chunks by id; ids that do not exist are left out."""
        numbers = list(ids)
        found = self._fetch(numbers)
        return {i: found[i][0] for i in numbers if i in found}

    def ids_in_order(self, filter: Filter) -> Iterator[int]:
        """The ids of all chunks that pass a filter, in order of path and position."""
        query = self._chunks_that(filter)
        for hit in self._reader.all(query, ["path", "member", "id"], ["id"]):
            yield hit["_source"]["id"]

    def _stored_chunk(self, source: Mapping[str, Any]) -> StoredChunk:
        root = self._reader.places.root(source["collection"], source["path"])
        return entries.stored_chunk(source, root)

    def _all_chunks(self, query: Query) -> list[StoredChunk]:
        with self._checked():
            return [
                self._stored_chunk(hit["_source"])
                for hit in self._reader.all(query, ["id"], mapping.SHOWN)
            ]

    def chunks_by_hash(self, low: bytes, high: bytes) -> list[StoredChunk]:
        """The chunks whose unique text's hash is between low and high, both inclusive."""
        bounds = {"gte": low.hex(), "lte": high.hex() + "g"}
        return self._all_chunks(self._kind("chunk", {"range": {"passage_hash": bounds}}))

    def chunks_of_texts(self, text_ids: Iterable[int], filter: Filter) -> dict[int, StoredChunk]:
        """The chunks of unique texts that pass the filter, by chunk id."""
        self._drop_old()
        numbers = list(text_ids)
        cached = [self._chunks_by_text.get((text_id, filter)) for text_id in numbers]
        ids = [i for each in cached if each for i in each]
        if all(each is not None for each in cached) and all(i in self._seen for i in ids):
            return {i: self._seen[i][0] for i in ids}
        result: dict[int, StoredChunk] = {}
        for page in among("passage", numbers, PAGE):
            chunks = self._all_chunks(self._chunks_that(filter, page))
            result |= {chunk.id: chunk for chunk in chunks}
        return result

    def chunks_of_file(self, path: str) -> list[StoredChunk]:
        """The chunks of a file, or of a member by its location, in order."""
        place, stored = composed(path), composed(self._reader.places.stored(path))
        either = [{"term": {name: {"value": stored}}} for name in ("composed", "location")]
        chunks = self._all_chunks(self._kind("chunk", queries.any_of(either)))
        if not chunks:
            return []
        first = min(chunk.collection for chunk in chunks)
        of_first = [chunk for chunk in chunks if chunk.collection == first]
        own = [chunk for chunk in of_first if composed(chunk.location) == place] or of_first
        return sorted(own, key=lambda chunk: (chunk.member, chunk.chunk.start_byte, chunk.id))

    def text_ids(self, hashes: Sequence[bytes]) -> dict[bytes, int]:
        """The ids of unique texts by hash; hashes that do not exist are left out."""
        numbers = {entries.number(value): value for value in hashes}
        stored = self._writer.stored_texts(numbers) if self._writer.active else set()
        others = [number for number in numbers if number not in stored]
        for page in among("passage", others, PAGE):
            body = {"size": PAGE, "query": self._kind("chunk", page), "_source": ["passage"]}
            hits = self._reader.hits(body | {"collapse": {"field": "passage"}})
            stored.update(hit["_source"]["passage"] for hit in hits)
        return {value: number for number, value in numbers.items() if number in stored}

    def documents(self, filter: Filter) -> Iterator[NewDocument]:
        """All documents whose files pass the filter, ordered by collection and path."""
        query = self._kind("file", *self._reader.of_file(filter))
        view = self._reader.open_view()
        order = ["collection", "path", "member", "version"]
        for hit in self._reader.all(query, order, True, size=100, view=view):
            with self._checked():
                chunks = self._whole_chunks(hit["_source"]["version"], view)
                document = entries.document(hit["_source"], chunks)
            yield document

    def _whole_chunks(self, version: str, view: str) -> Iterator[NewChunk]:
        query: Query = every({"term": {"kind": "chunk"}}, {"term": {"version": version}})
        names = [*mapping.SHOWN, "body", "title_terms", "part"]
        for hit in self._reader.all(query, ["place"], names, view=view):
            with self._checked():
                chunk = entries.whole_chunk(hit["_source"])
            yield chunk

    # Counts and maintenance

    def count_chunks(self, filter: Filter = EVERYTHING) -> int:
        """The number of chunks that pass the filter."""
        return self._reader.count(self._chunks_that(filter))

    def field_kinds(self) -> dict[str, list[str]]:
        """The names of all fields, each with the kinds of its values."""
        return counts.field_kinds(self._reader, self._kind("chunk"))

    def field_examples(self, name: str, limit: int) -> list[str]:
        """Up to limit values of a field."""
        values, _ = self.field_values(name, EVERYTHING, limit)
        return [value.value for value in values]

    def fields(self, filter: Filter) -> list[FieldCount]:
        """The fields of records that pass a filter, with their most frequent values."""
        query = self._chunks_that(filter._replace(required=(), excluded=()))
        return counts.fields(self._reader, query)

    def field_values(self, name: str, filter: Filter, limit: int) -> tuple[list[ValueCount], int]:
        """(the limit most frequent values of a field, the number of distinct values)."""
        query = self._chunks_that(filter._replace(required=(), excluded=()))
        return counts.values(self._reader, query, name, limit)

    def status(self) -> dict[str, Any]:
        """Counts of the index, in the form of `qrank status --json`."""
        self._before(vectors=True)
        return counts.status(self._reader, self.models())

    def check(self) -> list[Check]:
        """Check the consistency of the index."""
        self._before(vectors=True)
        return counts.check(self._reader, self.models())

    def vacuum(self) -> None:
        """Reclaim unused space."""
        self._writer.clean()
        counts.tidy(self._reader, self._writer)
