"""The interface of the index: add and remove documents, find candidates, fetch chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from qrank.language import ENGLISH, LANGUAGES
from qrank.results import Chunk, StoredChunk
from qrank.store import lexical
from qrank.store.connection import connect, explained, write_if_possible
from qrank.store.filters import EVERYTHING, Filter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


NO_VARIANTS: Mapping[str, Sequence[str]] = {}
CACHE_ROWS = 20_000  # 1 MB of scores; 80 MB if all were query vectors of 1024 dims


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as the index last saw it."""

    id: int
    path: str
    size: int
    mtime_ns: int
    hash: bytes
    extractor: str


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A chunk on its way into the index: its terms, and the hash of what models are given."""

    chunk: Chunk
    body_terms: list[str]
    title_terms: list[str]
    passage_hash: bytes


@dataclass(frozen=True, slots=True)
class StoredModel:
    """An embedding model whose vectors the index holds."""

    id: int
    name: str
    sha256: str
    dims: int
    prompt_version: int


@dataclass(frozen=True, slots=True)
class PassageText:
    """What a passage's text for a model is made from."""

    id: int
    title: str
    heading: str
    text: str


class Store:
    """An open index file. Every method may raise IndexFileError; readers never block writers."""

    def __init__(self, path: Path, *, write: bool = False) -> None:
        """Open the index at path; with write, make it when it is missing."""
        self.path = path
        self._connection = connect(path, create=write)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was not committed is undone."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside becomes visible together at the end, or not at all."""
        with explained(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _rows(self, sql: str, arguments: Sequence[object] = ()) -> list[Any]:
        with explained(self.path):
            return self._connection.execute(sql, arguments).fetchall()

    # Documents

    def files(self, collection: str) -> dict[str, StoredFile]:
        """The files of a collection by path."""
        rows = self._rows(
            "SELECT id, path, size, mtime_ns, hash, extractor FROM file WHERE collection = ?",
            (collection,),
        )
        return {row[1]: StoredFile(*row) for row in rows}

    def add_document(
        self,
        *,
        collection: str,
        path: str,
        size: int,
        mtime_ns: int,
        content_hash: bytes,
        title: str,
        extractor: str,
        chunks: Sequence[NewChunk],
        language: str = ENGLISH,
    ) -> None:
        """Put a document in, in place of what was there under the same path.

        language is the one whose stems its terms in Latin script are.
        """
        run = self._connection.execute
        old = run(
            "SELECT id FROM file WHERE collection = ? AND path = ?", (collection, path)
        ).fetchone()
        if old:
            self.remove_documents([old[0]])
        file_id = run(
            "INSERT INTO file (collection, path, size, mtime_ns, hash, title, extractor) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (collection, path, size, mtime_ns, content_hash, title, extractor),
        ).lastrowid
        labels = f"{lexical.collection_term(collection)} {lexical.language_term(language)}"
        for new in chunks:
            run("INSERT OR IGNORE INTO passage (hash) VALUES (?)", (new.passage_hash,))
            c = new.chunk
            chunk_id = run(
                "INSERT INTO chunk (file_id, passage_id, start_byte, end_byte, start_line, "
                "end_line, page, heading, text) "
                "VALUES (?, (SELECT id FROM passage WHERE hash = ?), ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(file_id, new.passage_hash, c.start_byte, c.end_byte),
                    *(c.start_line, c.end_line, c.page, c.heading, c.text),
                ),
            ).lastrowid
            run(
                "INSERT INTO terms (rowid, body, title, collection) VALUES (?, ?, ?, ?)",
                (chunk_id, " ".join(new.body_terms), " ".join(new.title_terms), labels),
            )

    def touch_document(self, file_id: int, size: int, mtime_ns: int) -> None:
        """Note a file's new size and time when its content is the same."""
        self._connection.execute(
            "UPDATE file SET size = ?, mtime_ns = ? WHERE id = ?", (size, mtime_ns, file_id)
        )

    def remove_documents(self, file_ids: Iterable[int]) -> None:
        """Take documents and their chunks out; their vectors go with remove_orphans."""
        for file_id in file_ids:
            self._connection.execute(
                "DELETE FROM terms WHERE rowid IN (SELECT id FROM chunk WHERE file_id = ?)",
                (file_id,),
            )
            self._connection.execute("DELETE FROM file WHERE id = ?", (file_id,))

    def remove_orphans(self) -> None:
        """Drop passages that no chunk has any more, and their vectors."""
        orphans = [
            row[0]
            for row in self._rows(
                "SELECT id FROM passage "
                "WHERE NOT EXISTS (SELECT 1 FROM chunk WHERE chunk.passage_id = passage.id)"
            )
        ]
        if not orphans:
            return
        from qrank.store import vectors

        vectors.remove(self._connection, orphans)
        self._connection.executemany("DELETE FROM passage WHERE id = ?", [(i,) for i in orphans])

    # Models and vectors

    def models(self) -> list[StoredModel]:
        """The embedding models whose vectors are held, the first indexed first."""
        return [
            StoredModel(*row)
            for row in self._rows(
                "SELECT id, name, sha256, dims, prompt_version FROM model ORDER BY id"
            )
        ]

    def add_model(self, model: StoredModel) -> StoredModel:
        """Note a model (its id is ignored) and return it with the id it got."""
        fields = (model.name, model.sha256, model.dims, model.prompt_version)
        made = self._connection.execute(
            "INSERT INTO model (name, sha256, dims, prompt_version) VALUES (?, ?, ?, ?)", fields
        ).lastrowid
        return StoredModel(made or 0, *fields)

    def missing_vectors(self, model: int) -> list[int]:
        """The passages without a vector of the model, in the order they were indexed."""
        rows = self._rows(
            "SELECT id FROM passage WHERE NOT EXISTS "
            "(SELECT 1 FROM vector WHERE model_id = ? AND passage_id = passage.id) ORDER BY id",
            (model,),
        )
        return [row[0] for row in rows]

    def passage_texts(self, passages: Sequence[int]) -> list[PassageText]:
        """What the texts of passages are made from, in the order asked, as far as they exist."""
        found = []
        for passage in passages:
            found += self._rows(
                "SELECT chunk.passage_id, file.title, chunk.heading, chunk.text "
                "FROM chunk JOIN file ON file.id = chunk.file_id WHERE passage_id = ? LIMIT 1",
                (passage,),
            )
        return [PassageText(*row) for row in found]

    def add_vectors(
        self, model: int, passages: Sequence[int], unit_vectors: NDArray[np.float32]
    ) -> None:
        """Add unit vectors of shape (len(passages), dims) for passages that have none yet."""
        from qrank.store import vectors

        vectors.add(self._connection, model, passages, unit_vectors)

    def languages(self) -> list[str]:
        """The languages that documents are in, of those that qrank.language tells apart."""
        return [
            name
            for name in LANGUAGES
            if self._rows(
                "SELECT 1 FROM terms WHERE terms MATCH ? LIMIT 1",
                (lexical.language_expression(name),),
            )
        ]

    # Candidates

    def bm25(
        self,
        terms: Sequence[str],
        limit: int,
        where: Filter,
        prefixes: Sequence[str] = (),
        variants: Mapping[str, Sequence[str]] = NO_VARIANTS,
    ) -> list[tuple[int, float]]:
        """The limit best (chunk id, BM25 score) for any of terms, best first.

        A term that is given twice counts twice. prefixes: beginnings of terms. variants: by
        language the terms that only count in documents of that language.
        """
        if not terms and not prefixes and not variants:
            return []
        match = lexical.match_expression(terms, prefixes, variants, where.collections)
        with explained(self.path):
            return lexical.candidates(self._connection, match, limit, where)

    def nearest(
        self, model: int, query: NDArray[np.float32], limit: int, where: Filter
    ) -> list[tuple[int, float]]:
        """The limit best (passage id, cosine) for a unit query of shape (dims,), best first."""
        from qrank.store import vectors

        with explained(self.path):
            return vectors.candidates(self._connection, model, query, limit, where)

    def cosines(
        self, model: int, query: NDArray[np.float32], passages: Sequence[int]
    ) -> dict[int, float]:
        """Exact cosines with a unit query, of those passages that have a vector."""
        from qrank.store import vectors

        with explained(self.path):
            return vectors.cosines(self._connection, model, query, passages)

    def mean_vector(self, model: int, passages: Sequence[int]) -> NDArray[np.float32] | None:
        """The unit vector amid those of passages, of shape (dims,); None when they have none."""
        from qrank.store import vectors

        with explained(self.path):
            return vectors.mean(self._connection, model, passages)

    def term_scores(
        self,
        terms: Sequence[str],
        chunks: Sequence[int],
        prefixes: Sequence[str] = (),
        variants: Mapping[str, Sequence[str]] = NO_VARIANTS,
    ) -> dict[int, float]:
        """What some terms, as `bm25` takes them, add to the scores of chunks that have them."""
        match = lexical.match_expression(terms, prefixes, variants, ())
        with explained(self.path):
            return lexical.scores(self._connection, match, chunks)

    # What only saves time: a read-only or busy file does without

    def known_hash(self, path: str, size: int, mtime_ns: int) -> str | None:
        """The SHA-256 of a model file that looked the same when it was last hashed."""
        rows = self._rows(
            "SELECT sha256 FROM model_file WHERE path = ? AND size = ? AND mtime_ns = ?",
            (path, size, mtime_ns),
        )
        return rows[0][0] if rows else None

    def note_hash(self, path: str, size: int, mtime_ns: int, sha256: str) -> None:
        """Remember a model file's hash."""
        self._save(
            "INSERT OR REPLACE INTO model_file (path, size, mtime_ns, sha256) VALUES (?, ?, ?, ?)",
            [(path, size, mtime_ns, sha256)],
        )

    def recall(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The cached values of keys, as far as there are any."""
        found: dict[bytes, bytes] = {}
        for key in keys:
            found.update(self._rows("SELECT key, value FROM cache WHERE key = ?", (key,)))
        return found

    def remember(self, values: Mapping[bytes, bytes]) -> None:
        """Cache values under their keys; beyond CACHE_ROWS the oldest go."""
        self._save(
            "INSERT OR REPLACE INTO cache (key, value) VALUES (?, ?)",
            list(values.items()),
            f"DELETE FROM cache WHERE id <= (SELECT max(id) FROM cache) - {CACHE_ROWS}",
        )

    def clear_cache(self) -> int:
        """Forget all cached values; returns how many there were."""
        with self.transaction():
            return self._connection.execute("DELETE FROM cache").rowcount

    def _save(self, sql: str, rows: Sequence[tuple[object, ...]], after: str = "") -> None:
        if rows and not self._connection.in_transaction:
            write_if_possible(self.path, sql, rows, after)

    # Fetching

    def chunks(self, ids: Iterable[int]) -> dict[int, StoredChunk]:
        """Chunks by id; ids that are no longer there are left out."""
        return self._stored("chunk.id = ?", ((i,) for i in ids))

    def chunks_of_passages(self, passages: Iterable[int], where: Filter) -> dict[int, StoredChunk]:
        """The chunks that hold one of passages and pass the filter, by chunk id."""
        condition, arguments = where.sql()
        return self._stored(
            "chunk.passage_id = ?" + (f" AND {condition}" if condition else ""),
            ((passage, *arguments) for passage in passages),
        )

    def chunks_of_file(self, path: str) -> list[StoredChunk]:
        """The chunks of a file in order; of the first collection that holds it."""
        found = self._stored(
            "file.id = (SELECT id FROM file WHERE path = ? ORDER BY collection LIMIT 1)", [(path,)]
        )
        return sorted(found.values(), key=lambda stored: stored.chunk.start_byte)

    def _stored(
        self, condition: str, arguments: Iterable[tuple[object, ...]]
    ) -> dict[int, StoredChunk]:
        sql = (
            "SELECT chunk.id, chunk.passage_id, file.path, file.collection, file.title, "
            "file.size, file.mtime_ns, chunk.text, chunk.heading, chunk.start_byte, "
            "chunk.end_byte, chunk.start_line, chunk.end_line, chunk.page "
            f"FROM chunk JOIN file ON file.id = chunk.file_id WHERE {condition}"
        )
        found: dict[int, StoredChunk] = {}
        for values in arguments:
            for row in self._rows(sql, values):
                found[row[0]] = StoredChunk(*(*row[:7], Chunk(*row[7:])))
        return found

    # About the index itself

    def count_chunks(self, where: Filter = EVERYTHING) -> int:
        """How many chunks the index holds, of those that pass the filter."""
        condition, arguments = where.sql()
        if not condition:
            return int(self._rows("SELECT count(*) FROM chunk")[0][0])
        sql = "SELECT count(*) FROM chunk JOIN file ON file.id = chunk.file_id WHERE "
        return int(self._rows(sql + condition, arguments)[0][0])

    def status(self) -> dict[str, Any]:
        """What the index holds, as `qrank status --json` says it."""
        count = self._rows(
            "SELECT (SELECT count(*) FROM file), (SELECT count(*) FROM chunk), "
            "(SELECT count(*) FROM cache), (SELECT count(*) FROM passage)"
        )[0]
        held = dict(self._rows("SELECT model_id, count(*) FROM vector GROUP BY model_id"))
        return {
            "schema": 1,
            "db": str(self.path),
            "files": count[0],
            "chunks": count[1],
            "passages": count[3],
            "bytes": self.path.stat().st_size,
            "cached": count[2],
            "collections": [
                {"name": name, "files": files}
                for name, files in self._rows(
                    "SELECT collection, count(*) FROM file GROUP BY collection ORDER BY collection"
                )
            ],
            "models": [
                {
                    "name": model.name,
                    "sha256": model.sha256,
                    "dims": model.dims,
                    "vectors": held.get(model.id, 0),
                }
                for model in self.models()
            ],
        }
