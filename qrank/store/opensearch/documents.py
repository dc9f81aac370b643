"""The part of the engine's store that opens it, and adds, lists and removes documents."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from qrank.closing import Closing
from qrank.errors import IndexFileError, Problem
from qrank.names import composed
from qrank.reports import IndexedFile
from qrank.results import Signature
from qrank.store.filters import Filter
from qrank.store.interface import (
    ChunkText,
    Claims,
    CollectionSettings,
    NewDocument,
    Root,
    SkippedFile,
    StoredFile,
    StoredModel,
)
from qrank.store.opensearch import counts, entries, state
from qrank.store.opensearch.claims import open_claims
from qrank.store.opensearch.client import Engine
from qrank.store.opensearch.entries import file_number
from qrank.store.opensearch.queries import Query, among, has_no_vector, phrase
from qrank.store.opensearch.reading import MOST, PAGE, Reader
from qrank.store.opensearch.writing import Writer
from qrank.urls import IndexUrl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _by_path(root: Root) -> str:
    return root.path


class Documents(Closing):
    """The methods of the store that change and list documents, models and vectors."""

    def __init__(self, place: IndexUrl, *, write: bool = False) -> None:
        """Open the index at place; write: create it when it is missing."""
        self.path: IndexUrl = place
        self._engine = Engine(place)
        try:
            if write:
                state.create(self._engine, None, None)
            self._shared = state.Shared(self._engine)
            self._shared.read()
        except BaseException:
            self._engine.close()
            raise
        self._reader = Reader(self._engine, self._shared)
        self._writer = Writer(self._reader)

    def close(self) -> None:
        """Close it; what was not committed is rolled back."""
        try:
            self._writer.close()
        finally:
            self._engine.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A context whose changes become visible together at the end, or not at all."""
        self._writer.active = True
        self._forget()
        try:
            try:
                yield
            except BaseException:
                self._writer.rollback()
                raise
            self._writer.commit()
        finally:
            self._writer.active = False
            self._forget()

    def _forget(self) -> None:
        """Drop cached entries, which may be outdated."""

    def hold(self, collection: str) -> None:
        """Lock a collection against changes by other runs until the store is closed."""
        self._writer.hold(collection)

    @contextmanager
    def _checked(self) -> Iterator[None]:
        """Raise IndexFileError when an entry read inside does not have qrank's form."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError, sqlite3.DatabaseError) as error:
            raise IndexFileError(
                f"{self.path} contains data that qrank did not write: {error}",
                hint="index the files into a new one",
            ) from error

    def _before(self, *, vectors: bool = False) -> None:
        """Make what this process wrote visible to its searches; vectors: also vectors, which are
        otherwise refreshed later."""
        if self._writer.active:
            self._writer.before_reading()
        if vectors:
            self._writer.show(force=True)

    def _kind(self, kind: str, *queries: Query) -> Query:
        self._before()
        return self._reader.visible(kind, *queries)

    def _chunks_that(self, filter: Filter, *also: Query) -> Query:
        """A query for the chunks that pass a filter, including its phrases, and match also."""
        passes = self._reader.of_chunk(filter)
        query = self._kind("chunk", *also, *passes, *map(phrase, filter.required))
        query["bool"]["must_not"] += map(phrase, filter.excluded)
        return query

    # Documents

    def files(self, collection: str, paths: Sequence[str] | None = None) -> Iterator[StoredFile]:
        """The files of a collection, or those of them at some paths."""
        names = ["file", "path", "hash", "extractor", "size", "mtime", "ctime"]
        for file in self._of_collection("file", collection, paths, names, {"term": {"member": ""}}):
            yield StoredFile(
                file["file"],
                file["path"],
                entries.signature(file),
                bytes.fromhex(file["hash"]),
                file["extractor"],
            )

    def _of_collection(
        self,
        kind: str,
        collection: str,
        paths: Sequence[str] | None,
        names: list[str] | bool,
        *also: Query,
    ) -> Iterator[Any]:
        """Yield the sources of a collection's entries of a kind, all or those of files at paths."""
        own: Query = {"term": {"collection": collection}}
        pages: Iterable[Query] = [own]
        if paths is not None:
            stored = self._reader.places.stored
            pages = among("file", [file_number(collection, stored(path)) for path in paths], MOST)
        for page in pages:
            query = self._kind(kind, own, *also, page)
            for hit in self._reader.all(query, ["file"], names, size=MOST):
                with self._checked():
                    yield hit["_source"]

    def add_document(self, document: NewDocument) -> None:
        """Add a document, replacing the one with the same path and member."""
        self._writer.add(document._replace(path=self._reader.places.stored(document.path)))

    def skipped_files(
        self, collection: str, paths: Sequence[str] | None = None
    ) -> Iterator[SkippedFile]:
        """The skipped files of a collection, or those of them at some paths."""
        for file in self._of_collection("skipped", collection, paths, True):
            yield SkippedFile(
                file["path"],
                entries.signature(file),
                file["extractor"],
                Problem(file["skipped"], file["reason"]),
            )

    def add_skipped(self, collection: str, file: SkippedFile) -> None:
        """Store that a file was skipped, and remove the document of that path."""
        path = self._reader.places.stored(file.path)
        self._writer.skip(collection, file._replace(path=path))

    def add_note(self, collection: str, path: str, note: str) -> None:
        """Store which part of an indexed file was skipped, and why."""
        self._writer.note(collection, self._reader.places.stored(path), note)

    def locations(self, filter: Filter) -> Iterator[str]:
        """The locations of the documents that pass a filter, in order."""
        query = self._kind("file", *self._reader.of_file(filter))
        hits = self._reader.all(query, ["location", "version"], ["path", "member"], size=MOST)
        with self._checked():
            places = (entries.place_of(hit["_source"]) for hit in hits)
            for _, same in groupby(places, composed):  # in several collections
                yield from dict.fromkeys(same)

    def indexed_files(self, path: str) -> Iterator[IndexedFile]:
        """The files at and below a path, ordered by path and collection."""
        self._before(vectors=True)
        with self._checked():
            yield from counts.indexed_files(self._reader, path, self.models())

    def roots(self) -> dict[str, list[Root]]:
        """The roots of each collection, ordered by path."""
        here = self._reader.places.here
        return {
            name: sorted((root._replace(path=here(root.path)) for root in roots), key=_by_path)
            for name, roots in self._shared.read().roots.items()
        }

    def set_roots(self, collection: str, roots: Iterable[Root]) -> None:
        """Replace the roots of a collection; visible immediately."""
        stored = self._reader.places.stored
        entries_by_path = sorted(
            (root._replace(path=stored(root.path)) for root in roots), key=_by_path
        )

        def replace_roots(shared: state.State) -> None:
            shared.roots.pop(collection, None)
            if entries_by_path:
                shared.roots[collection] = entries_by_path

        self._shared.change(replace_roots)

    def collection_settings(self) -> dict[str, CollectionSettings]:
        """The settings of collections by name; those without settings are left out."""
        return self._shared.read().collections

    def set_collection(self, collection: str, settings: CollectionSettings) -> None:
        """Replace the settings of a collection; visible immediately."""

        def replace_settings(shared: state.State) -> None:
            shared.collections.pop(collection, None)
            if settings != CollectionSettings():
                shared.collections[collection] = settings

        self._shared.change(replace_settings)

    def remove_skipped(self, collection: str, paths: Iterable[str]) -> None:
        """Delete the entries of skipped files."""
        self._writer.unskip(collection, map(self._reader.places.stored, paths))

    def touch_document(self, file_id: int, signature: Signature) -> None:
        """Store a new signature of a file with unchanged content."""
        self._writer.touch(file_id, signature)

    def remove_documents(self, file_ids: Iterable[int]) -> None:
        """Remove documents and their chunks, with their vectors."""
        ids = list(file_ids)
        if ids:
            self._writer.remove(ids)

    def remove_orphans(self, most: int = -1) -> bool:
        """Does nothing: a vector is part of a chunk's entry."""
        return False

    # Models and vectors

    def models(self) -> list[StoredModel]:
        """The embedding models of the stored vectors, the one used for searching first."""
        return list(self._shared.read().models)

    def add_model(self, model: StoredModel) -> StoredModel:
        """Add a model (its id is ignored), and return it with its new id."""
        row = model

        def number(shared: state.State) -> None:
            nonlocal row
            row = model._replace(id=shared.next_model)
            shared.next_model += 1

        self._shared.change(number)
        mapping = {f"v{row.id}": self._shared.read().dialect.vector(model.dims)}
        self._engine.ask("PUT", f"/{self.path.name}/_mapping", {"properties": mapping})

        def add(shared: state.State) -> None:
            if row not in shared.models:
                shared.models.append(row)

        self._shared.change(add)
        return row

    def remove_model(self, model: int) -> None:
        """Remove a model; vacuum reclaims the space of its vectors."""

        def remove(shared: state.State) -> None:
            shared.models = [stored for stored in shared.models if stored.id != model]

        self._writer.change(remove)

    def missing_vectors(self, model: int) -> Iterator[int]:
        """The ids of texts without a vector of the model, in the order they were indexed; those of
        several chunks may be repeated."""
        self._before(vectors=True)
        hits = self._reader.all(self._kind("chunk", has_no_vector(model)), ["id"], ["passage"])
        while page := [hit["_source"]["passage"] for hit in islice(hits, PAGE)]:
            yield from dict.fromkeys(page)

    def without_vector(self, model: int, text_ids: Sequence[int]) -> list[int]:
        """Those of some text ids that have no vector of the model."""
        missing: set[int] = set()
        for page in among("passage", text_ids, MOST):
            query = self._kind("chunk", page, has_no_vector(model))
            hits = self._reader.all(query, ["id"], ["passage"], size=MOST)
            missing.update(hit["_source"]["passage"] for hit in hits)
        return [text_id for text_id in text_ids if text_id in missing]

    @contextmanager
    def claims(self) -> Iterator[Claims]:
        """This process's claims on texts to embed, released at the end of the context."""
        with open_claims(self._engine) as claims:
            yield claims
            self._writer.show(force=True)

    def count_missing(self, model: int) -> tuple[int, int]:
        """(unique texts without a vector of the model, all), approximate above 40,000."""
        self._before(vectors=True)
        return missing_of(self._reader.groups(self._kind("chunk"), **texts_and_missing(model)))

    def texts_to_embed(self, text_ids: Sequence[int]) -> list[ChunkText]:
        """The parts of unique texts, in the order of the ids; ids that do not exist are skipped."""
        result: dict[int, ChunkText] = {}
        names = ["passage", "path", "member", "title", "heading", "text"]
        with self._checked():
            for page in among("passage", text_ids, PAGE):
                query = self._kind("chunk", page)
                body = {"query": query, "_source": names, "size": MOST}
                for hit in self._reader.hits(body | {"collapse": {"field": "passage"}}):
                    source = hit["_source"]
                    place = entries.place_of(source)
                    text = (place, source["title"], source["heading"], source["text"])
                    result[source["passage"]] = ChunkText(source["passage"], *text)
        return [result[text_id] for text_id in text_ids if text_id in result]

    def add_vectors(
        self, model: int, text_ids: Sequence[int], unit_vectors: NDArray[np.float32]
    ) -> None:
        """Add unit vectors of shape (len(text_ids), dims) for texts that have none."""
        stored = next((each for each in self.models() if each.id == model), None)
        if stored is None:
            raise IndexFileError(f"{self.path} has no model {model}")
        if len(text_ids):
            self._writer.vectors(stored, text_ids, unit_vectors)

    def mark_truncated(self, model: int, text_ids: Iterable[int]) -> None:
        """Store that texts with a vector were truncated to the model's window."""
        self._writer.truncated(model, list(text_ids))

    def languages(self) -> list[str]:
        """The languages that documents are in, or have been in since the last vacuum."""
        return counts.languages(self._shared.read())


def texts_and_missing(model: int) -> dict[str, Any]:
    """The aggregations that count unique texts, and those without a vector of the model."""
    count = {"cardinality": {"field": "passage", "precision_threshold": 40_000}}
    return {
        "passages": count,
        "missing": {"filter": has_no_vector(model), "aggs": {"passages": count}},
    }


def missing_of(counts: dict[str, Any]) -> tuple[int, int]:
    """(texts without a vector, all) from the results of these aggregations."""
    missing = int(counts["missing"]["passages"]["value"])
    return missing, max(missing, int(counts["passages"]["value"]))
