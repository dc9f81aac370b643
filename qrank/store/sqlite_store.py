"""The store in one SQLite file: `interface.py` says what each method does."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qrank.closing import Closing
from qrank.results import (
    Check,
    FieldCount,
    IndexedFile,
    NewChunk,
    Signature,
    StoredChunk,
    ValueCount,
)
from qrank.store import conditions, decode, documents, lexical, locations, records, skipped
from qrank.store.connection import connect, open_beside, translate_sqlite_errors
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
from qrank.store.lookup.vocabulary import Vocabulary
from qrank.store.parallel import snapshot

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SQLiteStore(Closing):
    """An open index file. Every method may raise IndexFileError; readers never block writers."""

    exact_bm25 = exhaustive = True
    adds_vectors_anew = False

    def __init__(self, path: Path, *, write: bool = False) -> None:
        """Open the index at path; with write, make it when it is missing."""
        self.path: Path = path
        self._connection = connect(path, create=write)
        self._cached_words: set[bytes] = set()  # that are in the vocabulary

    def close(self) -> None:
        """Close the file; what was not committed is undone."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside becomes visible together at the end, or not at all."""
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
        """Nothing: two runs take turns at each transaction."""

    def _rows(
        self,
        sql: str,
        arguments: Sequence[object] = (),
        *,
        types: decode.Types,
        row: str = "a row",
    ) -> list[Any]:
        """All rows, whose values must be of these types; row: what a row is, for an error."""
        with translate_sqlite_errors(self.path):
            return list(decode.rows(self._connection.execute(sql, arguments), types, row))

    # Documents

    def files(self, collection: str) -> dict[str, StoredFile]:
        """The files of a collection by path."""
        rows = self._rows(
            "SELECT id, path, hash, extractor, size, mtime_ns, ctime_ns FROM file "
            "WHERE collection = ? AND member = ''",
            (collection,),
            types=(int, str, bytes, str, int, int, int),
            row="a file",
        )
        return {
            path: StoredFile(i, path, Signature(*signature), content_hash, extractor)
            for i, path, content_hash, extractor, *signature in rows
        }

    def add_document(self, document: NewDocument) -> None:
        """Put a document in, in place of what was there under the same path."""
        documents.add(self._connection, document, self._cached_words)

    def skipped_files(self, collection: str) -> dict[str, SkippedFile]:
        """The files of a collection that were skipped, by path."""
        with translate_sqlite_errors(self.path):
            return skipped.of_collection(self._connection, collection)

    def add_skipped(self, collection: str, file: SkippedFile) -> None:
        """Note that a file was skipped; what was there under the same path goes."""
        skipped.add(self._connection, collection, file)

    def add_note(self, collection: str, path: str, note: str) -> None:
        """Keep what of a file was passed over, and why."""
        self._connection.execute(
            "UPDATE file SET note = ? WHERE collection = ? AND path = ? AND member = ''",
            (note, collection, path),
        )

    def locations(self, filter: Filter) -> list[str]:
        """Where the documents are that pass a filter, in order."""
        condition, values = conditions.of_file(filter)
        sql = f"SELECT DISTINCT {conditions.LOCATION} AS place FROM file"
        sql += f" WHERE {condition}" if condition else ""
        return [row[0] for row in self._rows(f"{sql} ORDER BY place", values, types=(str,))]

    def indexed_files(self, path: str) -> list[IndexedFile]:
        """The files at and below a path, by path and collection."""
        from qrank.store.status import indexed_files

        with translate_sqlite_errors(self.path):
            return indexed_files(self._connection, path)

    def roots(self) -> dict[str, list[Root]]:
        """What was named to be indexed, by collection, in the order of paths."""
        with translate_sqlite_errors(self.path):
            return locations.roots(self._connection)

    def set_roots(self, collection: str, roots: Iterable[Root]) -> None:
        """Note what was named, in place of all that was noted of the collection."""
        locations.set_roots(self._connection, collection, roots)

    def collection_settings(self) -> dict[str, CollectionSettings]:
        """What was said of collections, by their names."""
        with translate_sqlite_errors(self.path):
            return locations.collection_settings(self._connection)

    def set_collection(self, collection: str, settings: CollectionSettings) -> None:
        """Note what is said of a collection, in place of what was."""
        locations.set_collection(self._connection, collection, settings)

    def remove_skipped(self, collection: str, paths: Iterable[str]) -> None:
        """Forget that files were skipped."""
        skipped.remove(self._connection, collection, paths)

    def touch_document(self, file_id: int, signature: Signature) -> None:
        """Note a file's new signature when its content is the same."""
        documents.touch(self._connection, file_id, signature)

    def remove_documents(self, file_ids: Iterable[int]) -> None:
        """Take documents and their chunks out; their vectors go with remove_orphans."""
        documents.remove(self._connection, list(file_ids))

    def remove_orphans(self, most: int = -1) -> bool:
        """Drop unique texts that no chunk has any more, and their vectors."""
        with translate_sqlite_errors(self.path):
            return documents.remove_orphans(self._connection, most)

    # Models and vectors

    def models(self) -> list[StoredModel]:
        """The embedding models whose vectors are held, the one that is searched with first."""
        sql = "SELECT id, name, sha256, dims, prompt_version FROM model ORDER BY id"
        rows = self._rows(sql, types=(int, str, str, int, int), row="a model")
        with translate_sqlite_errors(self.path):
            for row in rows:
                decode.dims(row[3])
        return [StoredModel(*row) for row in rows]

    def add_model(self, model: StoredModel) -> StoredModel:
        """Note a model (its id is ignored) and return it with the id it got."""
        fields = (model.name, model.sha256, decode.dims(model.dims), model.prompt_version)
        row_id = self._connection.execute(
            "INSERT INTO model (name, sha256, dims, prompt_version) VALUES (?, ?, ?, ?)", fields
        ).lastrowid
        return StoredModel(row_id or 0, *fields)

    def remove_model(self, model: int) -> None:
        """Take a model and all its vectors out."""
        from qrank.store import segments

        segments.remove_model(self._connection, model)

    def missing_vectors(self, model: int, text_ids: Sequence[int] | None = None) -> list[int]:
        """The unique texts without a vector of the model, in the order they were indexed."""
        among = (
            "passage"
            if text_ids is None
            else "json_each(?) CROSS JOIN passage ON passage.id = value"
        )
        rows = self._rows(
            f"SELECT passage.id FROM {among} WHERE NOT EXISTS "
            "(SELECT 1 FROM vector WHERE model_id = ? AND passage_id = passage.id) "
            "ORDER BY passage.id",
            (model,) if text_ids is None else (json.dumps(list(text_ids)), model),
            types=(int,),
        )
        return [row[0] for row in rows]

    def claims(self) -> AbstractContextManager[Claims]:
        """What this process has claimed of the unique texts to embed."""
        from qrank.store.claims import open_claims

        return open_claims(self.path)

    def count_missing(self, model: int) -> tuple[int, int]:
        """(unique texts without a vector of the model, all): quick enough for each search."""
        # Both are answered from a few pages; a count of vectors would read each row.
        [(texts, vectors)] = self._rows(
            "SELECT (SELECT count(*) FROM passage), "
            "(SELECT coalesce(sum(used), 0) FROM segment WHERE model_id = ?)",
            (model,),
            types=(int, int),
        )
        return max(0, texts - vectors), texts

    def texts_to_embed(self, text_ids: Sequence[int]) -> list[ChunkText]:
        """What unique texts are made from, in the order of the ids, as far as they exist."""
        rows = []
        for text_id in text_ids:
            rows += self._rows(
                f"SELECT chunk.passage_id, {conditions.LOCATION}, file.title, chunk.heading, "
                "chunk.text "
                "FROM chunk JOIN file ON file.id = chunk.file_id WHERE passage_id = ? LIMIT 1",
                (text_id,),
                types=(int, str, str, str, str),
                row=f"text {text_id}",
            )
        return [ChunkText(*row) for row in rows]

    def add_vectors(
        self, model: int, text_ids: Sequence[int], unit_vectors: NDArray[np.float32]
    ) -> None:
        """Add unit vectors of shape (len(text_ids), dims) for unique texts that have none yet."""
        from qrank.store import segments

        segments.add(self._connection, model, text_ids, unit_vectors)

    def mark_truncated(self, model: int, text_ids: Iterable[int]) -> None:
        """Note that the model did not read the ends of unique texts."""
        self._connection.executemany(
            "UPDATE vector SET cut = 1 WHERE model_id = ? AND passage_id = ?",
            [(model, text_id) for text_id in text_ids],
        )

    def languages(self) -> list[str]:
        """The languages that documents are in, of those that qrank.analysis tells apart."""
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
                self._connection, self._another, terms, prefixes, variants, limit, filter
            )

    def nearest(
        self, model: int, query: NDArray[np.float32], limit: int, filter: Filter
    ) -> list[tuple[int, float]]:
        """The limit best (text id, cosine) for a unit query of shape (dims,), best first."""
        from qrank.store import vectors

        with translate_sqlite_errors(self.path):
            return vectors.candidates(self._connection, self._another, model, query, limit, filter)

    def _another(self) -> sqlite3.Connection:
        """A connection for another thread."""
        return open_beside(self.path)

    def cosines(
        self, model: int, query: NDArray[np.float32], text_ids: Sequence[int]
    ) -> dict[int, float]:
        """Cosines with a unit query, of those unique texts that have a vector."""
        ids, unit_vectors = self.vectors(model, text_ids)
        return dict(zip(ids, (unit_vectors @ query).tolist(), strict=True)) if ids else {}

    def vectors(self, model: int, text_ids: Sequence[int]) -> tuple[list[int], NDArray[np.float32]]:
        """(the ids of texts that have a vector, their unit vectors, of shape (n, dims))."""
        from qrank.store import segments

        with translate_sqlite_errors(self.path):
            return segments.read(self._connection, model, text_ids)

    def siblings(self, chunks: Sequence[int]) -> dict[int, int]:
        """Of those chunks that are one of several in their document a number of that document."""
        ids = (json.dumps(list(chunks)),)
        return dict(self._rows(locations.SIBLINGS, ids, types=(int, int), row="a chunk"))

    def named_chunks(self, key: str, filter: Filter, limit: int) -> list[int]:
        """The chunks of documents with a name key that pass the filter, by document and place."""
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
        """What terms, as for `bm25`, and a filter's required phrases add to scores of chunks."""
        with translate_sqlite_errors(self.path):
            return lexical.scores(self._connection, terms, prefixes, variants, chunks, filter)

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of documents as they are written."""
        return Vocabulary(self._connection, self.path)

    def count_holding(self, groups: Sequence[Sequence[str]], most: int) -> list[int]:
        """Of each group of terms how many chunks hold any of them, counted up to most."""
        with translate_sqlite_errors(self.path):
            return lexical.count_holding(self._connection, groups, most)

    # Fetching

    def chunks(self, ids: Iterable[int]) -> dict[int, StoredChunk]:
        """Chunks by id, of those ids that are still there."""
        return self._stored("chunk.id", ids)

    def ids_in_order(self, filter: Filter) -> list[int]:
        """The ids of all chunks that pass a filter, by path and place."""
        condition, values = conditions.of_chunk(filter)
        sql = (
            "SELECT chunk.id FROM file CROSS JOIN chunk ON chunk.file_id = file.id "
            f"{conditions.OF_CHUNK} {f'WHERE {condition} ' if condition else ''}"
            "ORDER BY file.path, file.member, chunk.id"
        )
        return [row[0] for row in self._rows(sql, values, types=(int,), row="a chunk")]

    def chunks_by_hash(self, low: bytes, high: bytes) -> list[StoredChunk]:
        """The chunks whose unique text's hash is from low to high."""
        sql = "SELECT id FROM passage WHERE hash BETWEEN ? AND ?"
        # (A longer hash that begins with high comes after it.)
        rows = self._rows(sql, (low, high + b"\xff" * 16), types=(int,), row="a unique text")
        return [*self._stored("chunk.passage_id", [row[0] for row in rows]).values()]

    def chunks_of_texts(self, text_ids: Iterable[int], filter: Filter) -> dict[int, StoredChunk]:
        """The chunks that have one of these unique texts and pass the filter, by chunk id."""
        return self._stored("chunk.passage_id", text_ids, *conditions.of_chunk(filter))

    def chunks_of_file(self, path: str) -> list[StoredChunk]:
        """The chunks of a file, or of a member at its location, in order."""
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
        """The unique texts that have one of these hashes."""
        ids: dict[bytes, int] = {}
        for value in hashes:
            sql = "SELECT hash, id FROM passage WHERE hash = ?"
            ids.update(self._rows(sql, (value,), types=(bytes, int), row="a unique text"))
        return ids

    def documents(self, filter: Filter) -> Iterator[NewDocument]:
        """All documents whose files pass the filter, by collection and path, as they went in."""
        condition, values = conditions.of_file(filter)
        with snapshot(self._connection):
            for row in self._rows(
                "SELECT id, collection, path, member, hash, title, extractor, language, fields, "
                "size, mtime_ns, ctime_ns FROM file "
                + (f"WHERE {condition} " if condition else "")
                + "ORDER BY collection, path, member",
                values,
                types=(int, str, str, str, bytes, str, str, str, str, int, int, int),
                row="a file",
            ):
                i, collection, path, member, content_hash, title, extractor, *rest = row
                language, fields, *rest = rest
                with translate_sqlite_errors(self.path):
                    decode.json_object(fields)
                yield NewDocument(
                    collection=collection,
                    path=path,
                    member=member,
                    signature=Signature(*rest),
                    content_hash=content_hash,
                    title=title,
                    extractor=extractor,
                    language=language,
                    chunks=self._whole_chunks(i),
                    fields=fields,
                )

    def _whole_chunks(self, file_id: int) -> Iterator[NewChunk]:
        rows = self._rows(
            "SELECT text, heading, start_byte, end_byte, start_line, end_line, page, "
            "packed_terms, hash, coalesce(fields, ''), coalesce(first, 0) FROM chunk "
            "JOIN passage ON passage.id = passage_id "
            f"LEFT {conditions.OF_CHUNK} WHERE chunk.file_id = ? ORDER BY chunk.id",
            (file_id,),
            types=decode.WHOLE_CHUNK,
            row=f"a chunk of file {file_id}",
        )
        with translate_sqlite_errors(self.path):
            yield from map(decode.whole_chunk, rows)

    # About the index itself

    def count_chunks(self, filter: Filter = EVERYTHING) -> int:
        """How many chunks the index holds, of those that pass the filter."""
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
        """Some values of a field."""
        with translate_sqlite_errors(self.path):
            return records.examples(self._connection, name, limit)

    def fields(self, filter: Filter) -> list[FieldCount]:
        """The fields of what passes a filter, with their most frequent values."""
        with translate_sqlite_errors(self.path), snapshot(self._connection):
            return records.facets(self._connection, filter)

    def field_values(self, name: str, filter: Filter, limit: int) -> tuple[list[ValueCount], int]:
        """(the most frequent values of a field, in what passes a filter, how many there are)."""
        with translate_sqlite_errors(self.path):
            return records.values(self._connection, name, filter, limit)

    def status(self) -> dict[str, Any]:
        """What the index holds, as `qrank status --json` says it."""
        from qrank.store.status import status

        with translate_sqlite_errors(self.path):
            return status(self._connection, self.path)

    def check(self) -> list[Check]:
        """Whether the index is whole."""
        from qrank.store.check import check

        with translate_sqlite_errors(self.path):
            return check(self._connection, self.path)

    def vacuum(self) -> None:
        """Give back the room of what was removed. Waits for writers; needs as much room again."""
        from qrank.store import segments

        with self.transaction():
            self.remove_orphans()
            for model in self.models():
                segments.compact(self._connection, model.id)
            self._connection.execute("INSERT INTO terms (terms) VALUES ('optimize')")
        with translate_sqlite_errors(self.path):
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
