"""The interface of stores, for indexing and searching. docs/store.md specifies it for authors of
stores.

Every method may raise IndexFileError. Methods whose docstring ends in "Writes." must be called
inside `transaction`, which makes all changes visible together or not at all. An Iterator is read
page by page, so that its memory does not grow with the index; it may or may not include what is
written meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from qrank.analysis.language import ENGLISH
from qrank.errors import Problem
from qrank.results import NewChunk, Signature, StoredChunk
from qrank.store.filters import EVERYTHING, Filter
from qrank.urls import IndexPlace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qrank.reports import Check, FieldCount, IndexedFile, ValueCount

NO_VARIANTS: Mapping[str, Sequence[str]] = {}


class StoredFile(NamedTuple):
    """An indexed file, as it was when it was last read."""

    id: int
    path: str
    signature: Signature
    hash: bytes
    extractor: str


class SkippedFile(NamedTuple):
    """A file that was skipped, its signature then, and the reason."""

    path: str
    signature: Signature
    extractor: str
    problem: Problem


class Root(NamedTuple):
    """A file or folder that was given to be indexed; options: of that run, as JSON."""

    path: str
    options: str


class CollectionSettings(NamedTuple):
    """A user's settings of a collection. description: its subject; ignore: rules for its folders,
    as lines of an ignore file; instruction: for models that take one with a query."""

    description: str = ""
    ignore: tuple[str, ...] = ()
    instruction: str = ""


class NewDocument(NamedTuple):
    """A document with its chunks, to be added or exported.

    extractor: identifies the code and options it was extracted with. chunks may be an iterator,
    consumed once. language: of the stemmer for its terms in Latin script. fields: of the document
    (front matter), as a JSON object or empty. member: its path within the file at path, if that is
    an archive or mailbox.
    """

    collection: str
    path: str
    signature: Signature
    content_hash: bytes
    title: str
    extractor: str
    chunks: Iterable[NewChunk]
    language: str = ENGLISH
    fields: str = ""
    member: str = ""


class StoredModel(NamedTuple):
    """An embedding model whose vectors the index has."""

    id: int
    name: str
    sha256: str
    dims: int
    prompt_version: int


class ChunkText(NamedTuple):
    """The parts that a chunk's text for a model is made from; id: of the unique text."""

    id: int
    path: str
    title: str
    heading: str
    text: str


class Claims(Protocol):
    """Claims on texts, so that runs at the same time do not embed the same ones. A claim ends with
    the process that made it, also when that is killed."""

    def take(self, text_ids: Sequence[int]) -> list[int]:
        """Claim unique texts; returns those that no other run has claimed."""

    def release(self, text_ids: Sequence[int] | None = None) -> None:
        """Release claims, by default all."""


class Vocabulary(Protocol):
    """The words that indexed documents have had, in lower case; some may have no document left."""

    def near(self, word: str, max_edits: int) -> list[tuple[int, str]]:
        """(distance, word) of the nearest words, at most max_edits (1 or 2) from word, which is in
        lower case; word itself is left out."""

    def intersection(self, lowercase_words: Iterable[str]) -> set[str]:
        """Those of some words that are in the vocabulary."""

    def with_prefix(self, prefix: str, limit: int) -> list[str]:
        """The first limit words, in order, that start with prefix and are longer."""


class Store(AbstractContextManager["Store"], Protocol):
    """Documents split into chunks, their terms, and vectors of their texts. A context manager that
    closes it."""

    exact_bm25: bool
    """Whether BM25 scores are those of rank-bm25's formula, up to rounding."""

    exhaustive: bool
    """Whether `nearest` compares every vector, so that its result is exact."""

    adds_vectors_anew: bool
    """Whether adding a vector in a later transaction writes its chunks again as a whole."""

    @property
    def path(self) -> IndexPlace:
        """The index file's path, or the URL of an engine's index."""

    def close(self) -> None:
        """Close it; what was not committed is rolled back."""

    def transaction(self) -> AbstractContextManager[None]:
        """A context whose changes become visible together at the end, or not at all."""

    def hold(self, collection: str) -> None:
        """Lock a collection against changes by other runs until the store is closed; does nothing
        where runs can write at the same time. Raises IndexFileError that names the run that has
        the lock."""

    # Adding and removing

    def files(self, collection: str, paths: Sequence[str] | None = None) -> Iterator[StoredFile]:
        """The files of a collection (of paths, those that are stored), without their members."""

    def add_document(self, document: NewDocument) -> None:
        """Add a document, replacing the one with the same path and member. Members are added after
        their file; replacing or removing the file removes its members. Writes."""

    def skipped_files(
        self, collection: str, paths: Sequence[str] | None = None
    ) -> Iterator[SkippedFile]:
        """The skipped files of a collection (of paths, those that were skipped)."""

    def add_skipped(self, collection: str, file: SkippedFile) -> None:
        """Store that a file was skipped, and remove the document of that path. Writes."""

    def add_note(self, collection: str, path: str, note: str) -> None:
        """Store which part of an indexed file was skipped, and why. Writes."""

    def locations(self, filter: Filter) -> Iterator[str]:
        """The locations of the documents that pass a filter (which only tests files), in order."""

    def indexed_files(self, path: str) -> Iterator[IndexedFile]:
        """The files at and below a path, ordered by path and collection."""

    def roots(self) -> dict[str, list[Root]]:
        """The roots of each collection, ordered by path."""

    def set_roots(self, collection: str, roots: Iterable[Root]) -> None:
        """Replace the roots of a collection. Writes."""

    def collection_settings(self) -> dict[str, CollectionSettings]:
        """The settings of collections by name; those without settings are left out."""

    def set_collection(self, collection: str, settings: CollectionSettings) -> None:
        """Replace the settings of a collection. Writes."""

    def remove_skipped(self, collection: str, paths: Iterable[str]) -> None:
        """Delete the entries of skipped files. Writes."""

    def touch_document(self, file_id: int, signature: Signature) -> None:
        """Store a new signature of a file with unchanged content. Writes."""

    def remove_documents(self, file_ids: Iterable[int]) -> None:
        """Remove documents and their chunks. Their vectors stay until remove_orphans, so that a
        file that was only moved keeps them. Writes."""

    def remove_orphans(self, most: int = -1) -> bool:
        """Remove unique texts without a chunk, and their vectors. Examines at most most of the
        texts that lost a chunk (-1: all); returns whether there may be more. Writes."""

    def models(self) -> list[StoredModel]:
        """The embedding models of the stored vectors: first the one used for searching, then those
        whose vectors are still being added."""

    def add_model(self, model: StoredModel) -> StoredModel:
        """Add a model (its id is ignored), and return it with its new id. Writes."""

    def remove_model(self, model: int) -> None:
        """Remove a model and all its vectors. Writes."""

    def missing_vectors(self, model: int) -> Iterator[int]:
        """The ids of texts without a vector of the model, in the order they were indexed. A text
        of several chunks may come again."""

    def without_vector(self, model: int, text_ids: Sequence[int]) -> list[int]:
        """The ids among text_ids of texts that have no vector of the model."""

    def claims(self) -> AbstractContextManager[Claims]:
        """This process's claims on texts to embed, released at the end of the context. A second one
        in the same process waits for the first."""

    def count_missing(self, model: int) -> tuple[int, int]:
        """(unique texts without a vector of the model, all unique texts). Fast enough to be called
        for each search."""

    def add_vectors(
        self, model: int, text_ids: Sequence[int], unit_vectors: NDArray[np.float32]
    ) -> None:
        """Add unit vectors of shape (len(text_ids), dims). Texts that were removed, or have a
        vector already, are skipped. Writes."""

    def mark_truncated(self, model: int, text_ids: Iterable[int]) -> None:
        """Store that texts with a vector were truncated to the model's window. Writes."""

    # Candidates

    def languages(self) -> list[str]:
        """The languages of documents, of those that qrank.analysis.language detects."""

    def bm25(
        self,
        terms: Sequence[str],
        limit: int,
        filter: Filter,
        prefixes: Sequence[str] = (),
        variants: Mapping[str, Sequence[str]] = NO_VARIANTS,
    ) -> list[tuple[int, float]]:
        """The limit best (chunk id, BM25 score) of chunks that pass the filter, best first, ties by
        id. A chunk matches by any of terms, by a term that starts with one of prefixes, or, in
        documents of a language, by one of its variants (a trailing * makes it a prefix). A repeated
        term counts repeatedly. Without any of these, the filter's required phrases are scored."""

    def siblings(self, chunks: Sequence[int]) -> dict[int, int]:
        """Those chunks whose document has more than one, each with an id of its document."""

    def named_chunks(self, key: str, filter: Filter, limit: int) -> list[int]:
        """The first limit chunks of documents with this name key (analysis/names.py) that pass the
        filter, in order of document and position."""

    def term_scores(
        self,
        terms: Sequence[str],
        chunks: Sequence[int],
        prefixes: Sequence[str] = (),
        variants: Mapping[str, Sequence[str]] = NO_VARIANTS,
        filter: Filter = EVERYTHING,
    ) -> dict[int, float]:
        """The part of BM25 scores, by chunk id, that comes from some terms, as in `bm25`, and the
        phrases that a filter requires; chunks with none of them are left out."""

    def nearest(
        self, model: int, query: NDArray[np.float32], limit: int, filter: Filter
    ) -> list[tuple[int, float]]:
        """The limit best (text id, cosine) for a unit query of shape (dims,), of texts with a chunk
        that passes the filter; best first, ties by id."""

    def cosines(
        self, model: int, query: NDArray[np.float32], text_ids: Sequence[int]
    ) -> dict[int, float]:
        """Cosines with a unit query of shape (dims,), of those texts that have a vector."""

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The words of documents before stemming; None where the store only has terms."""

    def count_holding(self, groups: Sequence[Sequence[str]], most: int) -> list[int]:
        """For each group of terms, the number of chunks that have any of them, up to most."""

    # Fetching

    def chunks(self, ids: Iterable[int]) -> dict[int, StoredChunk]:
        """Chunks by id; ids that do not exist are left out."""

    def ids_in_order(self, filter: Filter) -> Iterator[int]:
        """The ids of all chunks that pass a filter, in order of path and position."""

    def chunks_by_hash(self, low: bytes, high: bytes) -> list[StoredChunk]:
        """The chunks whose unique text's hash is between low and high, both inclusive."""

    def chunks_of_texts(self, text_ids: Iterable[int], filter: Filter) -> dict[int, StoredChunk]:
        """The chunks of unique texts that pass the filter, by chunk id."""

    def chunks_of_file(self, path: str) -> list[StoredChunk]:
        """The chunks of a file in order, from the first collection that has it; path may be the
        location of a member. For a file without chunks of its own, those of all its members."""

    def texts_to_embed(self, text_ids: Sequence[int]) -> list[ChunkText]:
        """The parts of unique texts, in the order of the ids; ids that do not exist are skipped."""

    def text_ids(self, hashes: Sequence[bytes]) -> dict[bytes, int]:
        """The ids of unique texts by hash; hashes that do not exist are left out."""

    def vectors(self, model: int, text_ids: Sequence[int]) -> tuple[list[int], NDArray[np.float32]]:
        """(ids of those texts that have a vector, their unit vectors of shape (n, dims))."""

    def documents(self, filter: Filter) -> Iterator[NewDocument]:
        """All documents whose files pass the filter (its phrases are ignored), ordered by
        collection and path."""

    def count_chunks(self, filter: Filter = EVERYTHING) -> int:
        """The number of chunks that pass the filter."""

    def field_kinds(self) -> dict[str, list[str]]:
        """The names of all fields of documents, rows and messages, each with the kinds of its
        values (see qrank.analysis.fields)."""

    def field_examples(self, name: str, limit: int) -> list[str]:
        """Up to limit values of a field, in no particular order."""

    def fields(self, filter: Filter) -> list[FieldCount]:
        """The fields of records that pass a filter (its phrases are ignored), the most frequent
        first, each with its most frequent values."""

    def field_values(self, name: str, filter: Filter, limit: int) -> tuple[list[ValueCount], int]:
        """(the limit most frequent values of a field in records that pass a filter, the number of
        distinct values)."""

    def status(self) -> dict[str, Any]:
        """Counts of the index, in the form of `qrank status --json`."""

    def check(self) -> list[Check]:
        """Check the consistency of the index, for `qrank doctor --index`."""

    def vacuum(self) -> None:
        """Reclaim unused space. Runs its own transactions."""
