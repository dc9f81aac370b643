"""The store in one SQLite file: `interface.py` says what each method does."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qrank.closing import Closing
from qrank.results import NewChunk, Signature, StoredChunk
from qrank.store import conditions, decode, documents, lexical, locations, records, skipped
from qrank.store.connection import connect, open_another, translate_sqlite_errors
from qrank.store.filters import EVERYTHING, Filter
from qrank.store.interface import (
    NO_VARIANTS,
    ChunkText,
    Claims,
    CollectionSettings,
    NewDocument,
    Root,
    SkippedFile,
    StoredFile,
    StoredModel,
)
from qrank.store.lookup import texts
from qrank.store.lookup.vocabulary import Vocabulary
from qrank.store.parallel import snapshot

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qrank.reports import Check, FieldCount, IndexedFile, ValueCount


class SQLiteStore(Closing):
    """An open index file. Every method may raise IndexFileError; readers never block writers."""

    exact_bm25 = exhaustive = True
    adds_vectors_anew = False

    def __init__(self, path: Path, *, write: bool = False) -> None:
        """Open the index at path; write: for writing, creating it when it is missing."""
        self.path: Path = path
        self._connection = connect(path, create=write)
        self._cached_words: set[bytes] = set()  # see words.add

    def close(self) -> None:
        """Close the file; what was not committed is rolled back."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A context whose changes become visible together at the end, or not at all."""
        with translate_sqlite_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._cached_words.clear()
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def hold(self, collection: str) -> None:
        """Does nothing: runs can write at the same time, in turn for each transaction."""

    def _rows(
        self,
        sql: str,
        arguments: Sequence[object] = (),
        *,
        types: decode.Types,
        row: str = "a row",
    ) -> list[Any]:
        """All rows, checked for types. row: a row, for the message of an error."""
        with translate_sqlite_errors(self.path):
            return list(decode.rows(self._connection.execute(sql, arguments), types, row))

    # Documents

    def files(self, collection: str, paths: Sequence[str] | None = None) -> Iterator[StoredFile]:
        """The files of a collection (of paths, those that are stored)."""
        with translate_sqlite_errors(self.path):
            yield from locations.files(self._connection, collection, paths)

    def add_document(self, document: NewDocument) -> None:
        """Add a document, replacing the one with the same path and member."""
        documents.add(self._connection, document, self._cached_words)

    def skipped_files(
        self, collection: str, paths: Sequence[str] | None = None
    ) -> Iterator[SkippedFile]:
        """The skipped files of a collection (of paths, those that were skipped)."""
        with translate_sqlite_errors(self.path):
            yield from skipped.of_collection(self._connection, collection, paths)

    def add_skipped(self, collection: str, file: SkippedFile) -> None:
        """Store that a file was skipped, and remove the document of that path."""
        skipped.add(self._connection, collection, file)

    def add_note(self, collection: str, path: str, note: str) -> None:
        """Store which part of an indexed file was skipped, and why."""
        self._connection.execute(
            "UPDATE file SET note = ? WHERE collection = ? AND path = ? AND member = ''",
            (note, collection, path),
        )

    def locations(self, filter: Filter) -> Iterator[str]:
        """The locations of the documents that pass a filter, in order."""
        condition, values = conditions.of_file(filter)
        sql = f"SELECT DISTINCT {conditions.LOCATION} AS place FROM file"
        sql += f" WHERE {condition}" if condition else ""
        with translate_sqlite_errors(self.path):
            rows = self._connection.execute(f"{sql} ORDER BY place", values)
            yield from (row[0] for row in decode.rows(rows, (str,), "a file"))

    def indexed_files(self, path: str) -> Iterator[IndexedFile]:
        """The files at and below a path, ordered by path and collection."""
        from qrank.store.status import indexed_files

        with translate_sqlite_errors(self.path):
            yield from indexed_files(self._connection, path)

    def roots(self) -> dict[str, list[Root]]:
        """The roots of each collection, ordered by path."""
        with translate_sqlite_errors(self.path):
            return locations.roots(self._connection)

    def set_roots(self, collection: str, roots: Iterable[Root]) -> None:
        """Replace the roots of a collection."""
        locations.set_roots(self._connection, collection, roots)

    def collection_settings(self) -> dict[str, CollectionSettings]:
        """The settings of collections by name; those without settings are left out."""
        with translate_sqlite_errors(self.path):
            return locations.collection_settings(self._connection)

    def set_collection(self, collection: str, settings: CollectionSettings) -> None:
        """Replace the settings of a collection."""
        locations.set_collection(self._connection, collection, settings)

    def remove_skipped(self, collection: str, paths: Iterable[str]) -> None:
        """Delete the entries of skipped files."""
        skipped.remove(self._connection, collection, paths)

    def touch_document(self, file_id: int, signature: Signature) -> None:
        """Store a new signature of a file with unchanged content."""
        documents.touch(self._connection, file_id, signature)

    def remove_documents(self, file_ids: Iterable[int]) -> None:
        """Remove documents and their chunks; remove_orphans removes their vectors."""
        documents.remove(self._connection, list(file_ids))

    def remove_orphans(self, most: int = -1) -> bool:
        """Remove unique texts without a chunk, and their vectors."""
        with translate_sqlite_errors(self.path):
            return documents.remove_orphans(self._connection, most)

    # Models and vectors

    def models(self) -> list[StoredModel]:
        """The embedding models of the stored vectors, the one used for searching first."""
        with translate_sqlite_errors(self.path):
            return texts.models(self._connection)

    def add_model(self, model: StoredModel) -> StoredModel:
        """Add a model (its id is ignored), and return it with its new id."""
        return texts.add_model(self._connection, model)

    def remove_model(self, model: int) -> None:
        """Remove a model and all its vectors."""
        from qrank.store import segments

        segments.remove_model(self._connection, model)

    def missing_vectors(self, model: int) -> Iterator[int]:
        """The ids of texts without a vector of the model, in the order they were indexed."""
        with translate_sqlite_errors(self.path):
            yield from texts.missing(self._connection, model)

    def without_vector(self, model: int, text_ids: Sequence[int]) -> list[int]:
        """The ids among text_ids of texts that have no vector of the model."""
        with translate_sqlite_errors(self.path):
            return texts.without_vector(self._connection, model, text_ids)

    def claims(self) -> AbstractContextManager[Claims]:
        """This process's claims on texts to embed, released at the end of the context."""
        from qrank.store.claims import open_claims

        return open_claims(self.path)

    def count_missing(self, model: int) -> tuple[int, int]:
        """(unique texts without a vector of the model, all unique texts)."""
        with translate_sqlite_errors(self.path):
            return texts.count_missing(self._connection, model)

    def texts_to_embed(self, text_ids: Sequence[int]) -> list[ChunkText]:
        """The parts of unique texts, in the order of the ids; ids that do not exist are skipped."""
        with translate_sqlite_errors(self.path):
            return texts.to_embed(self._connection, text_ids)

    def add_vectors(
        self, model: int, text_ids: Sequence[int], unit_vectors: NDArray[np.float32]
    ) -> None:
        """Add unit vectors of shape (len(text_ids), dims) for texts that have none."""
        from qrank.store import segments

        segments.add(self._connection, model, text_ids, unit_vectors)

    def mark_truncated(self, model: int, text_ids: Iterable[int]) -> None:
        """Store that texts with a vector were truncated to the model's window."""
        texts.mark_truncated(self._connection, model, text_ids)

    def languages(self) -> list[str]:
        """The languages of documents, of those that qrank.analysis.language detects."""
        with translate_sqlite_errors(self.path):
            return lexical.languages(self._connection)

    # Candidates

    def bm25(
        self,
        terms: Sequence[str],
        limit: int,
        filter: Filter,
        prefixes: Sequence[str] = (),
        variants: Mapping[str, Sequence[str]] = NO_VARIANTS,
    ) -> list[tuple[int, float]]:
        """The limit best (chunk id, BM25 score) for any of terms, best first."""
        if not terms and not prefixes and not variants and not filter.required:
            return []
        with translate_sqlite_errors(self.path):
            return lexical.candidates(
                self._connection, self._connect, terms, prefixes, variants, limit, filter
            )

    def nearest(
        self, model: int, query: NDArray[np.float32], limit: int, filter: Filter
    ) -> list[tuple[int, float]]:
        """The limit best (text id, cosine) for a unit query of shape (dims,), best first."""
        from qrank.store import vectors

        with translate_sqlite_errors(self.path):
            return vectors.candidates(self._connection, self._connect, model, query, limit, filter)

    def _connect(self) -> sqlite3.Connection:
        """Open a connection for another thread."""
        return open_another(self.path)

    def cosines(
        self, model: int, query: NDArray[np.float32], text_ids: Sequence[int]
    ) -> dict[int, float]:
        """Cosines with a unit query of shape (dims,), of those texts that have a vector."""
        ids, unit_vectors = self.vectors(model, text_ids)
        return dict(zip(ids, (unit_vectors @ query).tolist(), strict=True)) if ids else {}

    def vectors(self, model: int, text_ids: Sequence[int]) -> tuple[list[int], NDArray[np.float32]]:
        """(ids of those texts that have a vector, their unit vectors of shape (n, dims))."""
        from qrank.store import segments

        with translate_sqlite_errors(self.path):
            return segments.read(self._connection, model, text_ids)

    def siblings(self, chunks: Sequence[int]) -> dict[int, int]:
        """Those chunks whose document has more than one, each with an id of its document."""
        ids = (json.dumps(list(chunks)),)
        return dict(self._rows(locations.SIBLINGS, ids, types=(int, int), row="a chunk"))

    def named_chunks(self, key: str, filter: Filter, limit: int) -> list[int]:
        """The first limit chunks of documents with a name key that pass the filter."""
        sql, values = locations.named(key, filter)
        rows = self._rows(sql, (*values, limit), types=(int,), row="a chunk")
        return [chunk for (chunk,) in rows]

    def term_scores(
        self,
        terms: Sequence[str],
        chunks: Sequence[int],
        prefixes: Sequence[str] = (),
        variants: Mapping[str, Sequence[str]] = NO_VARIANTS,
        filter: Filter = EVERYTHING,
    ) -> dict[int, float]:
        """The part of BM25 scores that comes from terms and a filter's required phrases."""
        with translate_sqlite_errors(self.path):
            return lexical.scores(self._connection, terms, prefixes, variants, chunks, filter)

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of documents before stemming."""
        return Vocabulary(self._connection, self.path)

    def count_holding(self, groups: Sequence[Sequence[str]], most: int) -> list[int]:
        """For each group of terms, the number of chunks that have any of them, up to most."""
        with translate_sqlite_errors(self.path):
            return lexical.count_holding(self._connection, groups, most)

    # Fetching

    def chunks(self, ids: Iterable[int]) -> dict[int, StoredChunk]:
        """Chunks by id; ids that do not exist are left out."""
        return self._stored("chunk.id", ids)

    def ids_in_order(self, filter: Filter) -> Iterator[int]:
        """The ids of all chunks that pass a filter, in order of path and position."""
        condition, values = conditions.of_chunk(filter)
        sql = (
            "SELECT chunk.id FROM file CROSS JOIN chunk ON chunk.file_id = file.id "
            f"{conditions.OF_CHUNK} {f'WHERE {condition} ' if condition else ''}"
            "ORDER BY file.path, file.member, chunk.id"
        )
        with translate_sqlite_errors(self.path):
            rows = self._connection.execute(sql, values)
            yield from (row[0] for row in decode.rows(rows, (int,), "a chunk"))

    def chunks_by_hash(self, low: bytes, high: bytes) -> list[StoredChunk]:
        """The chunks whose unique text's hash is between low and high, both inclusive."""
        sql = "SELECT id FROM passage WHERE hash BETWEEN ? AND ?"
        # Padded, as high may be the first bytes of a hash.
        rows = self._rows(sql, (low, high + b"\xff" * 16), types=(int,), row="a unique text")
        return [*self._stored("chunk.passage_id", [row[0] for row in rows]).values()]

    def chunks_of_texts(self, text_ids: Iterable[int], filter: Filter) -> dict[int, StoredChunk]:
        """The chunks of unique texts that pass the filter, by chunk id."""
        return self._stored("chunk.passage_id", text_ids, *conditions.of_chunk(filter))

    def chunks_of_file(self, path: str) -> list[StoredChunk]:
        """The chunks of a file, or of a member by its location, in order."""
        with translate_sqlite_errors(self.path):
            files, member = locations.find(self._connection, path)
        stored_chunks = self._stored("chunk.file_id", files).values()
        own = [stored for stored in stored_chunks if stored.member == member] or stored_chunks
        return sorted(own, key=lambda stored: (stored.member, stored.chunk.start_byte))

    def _stored(
        self, column: str, ids: Iterable[int], condition: str = "", values: Sequence[object] = ()
    ) -> dict[int, StoredChunk]:
        sql = (
            f"SELECT {decode.STORED_CHUNK} FROM json_each(?) AS ids "
            f"CROSS JOIN chunk ON {column} = ids.value {decode.OF_STORED_CHUNK}"
            + (f" WHERE {condition}" if condition else "")
        )
        with translate_sqlite_errors(self.path):
            rows = self._connection.execute(sql, (json.dumps(list(ids)), *values))
            return {row[0]: decode.stored_chunk(row) for row in rows}

    def text_ids(self, hashes: Sequence[bytes]) -> dict[bytes, int]:
        """The ids of unique texts by hash; hashes that do not exist are left out."""
        with translate_sqlite_errors(self.path):
            return texts.ids(self._connection, hashes)

    def documents(self, filter: Filter) -> Iterator[NewDocument]:
        """All documents whose files pass the filter, ordered by collection and path."""
        with translate_sqlite_errors(self.path):
            for document in documents.stored(self._connection, filter):
                yield document._replace(chunks=self._translated(document.chunks))

    def _translated(self, chunks: Iterable[NewChunk]) -> Iterator[NewChunk]:
        with translate_sqlite_errors(self.path):
            yield from chunks

    # Counts and maintenance

    def count_chunks(self, filter: Filter = EVERYTHING) -> int:
        """The number of chunks that pass the filter."""
        condition, arguments = conditions.of_chunk(filter)
        if not condition:
            return int(self._rows("SELECT count(*) FROM chunk", types=(int,))[0][0])
        sql = (
            "SELECT count(*) FROM file CROSS JOIN chunk ON chunk.file_id = file.id "
            f"{conditions.OF_CHUNK} WHERE {condition}"
        )
        return int(self._rows(sql, arguments, types=(int,))[0][0])

    def field_kinds(self) -> dict[str, list[str]]:
        """The names of all fields, each with the kinds of its values."""
        with translate_sqlite_errors(self.path):
            return records.kinds(self._connection)

    def field_examples(self, name: str, limit: int) -> list[str]:
        """Up to limit values of a field, in no particular order."""
        with translate_sqlite_errors(self.path):
            return records.examples(self._connection, name, limit)

    def fields(self, filter: Filter) -> list[FieldCount]:
        """The fields of records that pass a filter, with their most frequent values."""
        with translate_sqlite_errors(self.path), snapshot(self._connection):
            return records.facets(self._connection, filter)

    def field_values(self, name: str, filter: Filter, limit: int) -> tuple[list[ValueCount], int]:
        """(the limit most frequent values of a field, the number of distinct values)."""
        with translate_sqlite_errors(self.path):
            return records.values(self._connection, name, filter, limit)

    def status(self) -> dict[str, Any]:
        """Counts of the index, in the form of `qrank status --json`."""
        from qrank.store.status import status

        with translate_sqlite_errors(self.path):
            return status(self._connection, self.path)

    def check(self) -> list[Check]:
        """Check the consistency of the index."""
        from qrank.store.check import check

        with translate_sqlite_errors(self.path):
            return check(self._connection, self.path)

    def vacuum(self) -> None:
        """Reclaim unused space. Waits for writers; needs as much free disk space as the index."""
        from qrank.store import segments

        with self.transaction():
            self.remove_orphans()
            for model in self.models():
                segments.compact(self._connection, model.id)
            self._connection.execute("INSERT INTO terms (terms) VALUES ('optimize')")
        with translate_sqlite_errors(self.path):
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
