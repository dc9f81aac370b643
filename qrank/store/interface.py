"""The interface of stores for indexing and searching, whatever engine is behind it. Its promises
are in docs/store.md.

Every method may raise IndexFileError. What is written inside `transaction` becomes visible to
others together, or not at all; methods that write say so, and belong into one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from qrank.analysis.language import ENGLISH
from qrank.errors import Problem
from qrank.results import (
    Check,
    FieldCount,
    IndexedFile,
    NewChunk,
    Signature,
    StoredChunk,
    ValueCount,
)
from qrank.store.filters import EVERYTHING, Filter
from qrank.urls import IndexPlace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_VARIANTS: Mapping[str, Sequence[str]] = {}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as the index last saw it."""

    id: int
    path: str
    signature: Signature
    hash: bytes
    extractor: str


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that was skipped, as it looked then, and why."""

    path: str
    signature: Signature
    extractor: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Root:
    """A file or folder that was named to be indexed; options: how, as JSON."""

    path: str
    options: str


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """What a user said of a collection: what it is about; ignore rules (as lines of an ignore
    file) for its folders; the instruction for models that take one with a query."""

    description: str = ""
    ignore: tuple[str, ...] = ()
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document with its chunks, as it goes in and comes out.

    extractor: what it was made by. chunks can be read once. language: the one whose stems its terms
    in Latin script are. fields: its own (front matter), as a JSON object or empty. member: the path
    of a file within the file at path.
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


@dataclass(frozen=True, slots=True)
class StoredModel:
    """An embedding model whose vectors the index holds."""

    id: int
    name: str
    sha256: str
    dims: int
    prompt_version: int


@dataclass(frozen=True, slots=True)
class ChunkText:
    """What the text that a model is given is made from."""

    id: int
    path: str
    title: str
    heading: str
    text: str


class Claims(Protocol):
    """Which texts a run embeds, so that others which go on at the same time leave them alone. A
    claim ends with the process that made it, however that ends."""

    def take(self, text_ids: Sequence[int]) -> list[int]:
        """Claim unique texts; returns those that no other run has claimed."""

    def release(self, text_ids: Sequence[int] | None = None) -> None:
        """Let others have unique texts, by default all that were claimed."""


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
    """Documents cut into chunks, their terms, and vectors of their texts. Left as a context, it
    is closed."""

    exact_bm25: bool
    """Whether BM25 scores are those of rank-bm25's formula, to the last bits."""

    exhaustive: bool
    """Whether `nearest` compares every vector, so that none that is nearer is missed."""

    adds_vectors_anew: bool
    """Whether a chunk is written as a whole again when its vector comes in a later transaction."""

    @property
    def path(self) -> IndexPlace:
        """Where it is."""

    def close(self) -> None:
        """Let go of it; what was not committed is undone."""

    def transaction(self) -> AbstractContextManager[None]:
        """All that is written inside becomes visible together at the end, or not at all."""

    def hold(self, collection: str) -> None:
        """Keep other runs from changing a collection until this is closed, where two can't go on
        at the same time; where they can, nothing. Raises IndexFileError that says who holds it."""

    # Adding and removing

    def files(self, collection: str) -> dict[str, StoredFile]:
        """The files of a collection by path, without their members."""

    def add_document(self, document: NewDocument) -> None:
        """Put a document in, in place of what was there under the same path. A member is put in
        after its file; what replaces the file, or removes it, takes its members out. Writes."""

    def skipped_files(self, collection: str) -> dict[str, SkippedFile]:
        """The files of a collection that were skipped, by path."""

    def add_skipped(self, collection: str, file: SkippedFile) -> None:
        """Note that a file was skipped; what was there under the same path goes. Writes."""

    def add_note(self, collection: str, path: str, note: str) -> None:
        """Keep what of a file was passed over, and why. Writes."""

    def locations(self, filter: Filter) -> list[str]:
        """Where the documents are that pass a filter (which asks for files alone), in order."""

    def indexed_files(self, path: str) -> list[IndexedFile]:
        """The files at and below a path, by path and collection."""

    def roots(self) -> dict[str, list[Root]]:
        """What was named to be indexed, by collection, in the order of paths."""

    def set_roots(self, collection: str, roots: Iterable[Root]) -> None:
        """Note what was named, in place of all that was noted of the collection. Writes."""

    def collection_settings(self) -> dict[str, CollectionSettings]:
        """What was said of collections, by their names; not all need have settings."""

    def set_collection(self, collection: str, settings: CollectionSettings) -> None:
        """Note what is said of a collection, in place of what was. Writes."""

    def remove_skipped(self, collection: str, paths: Iterable[str]) -> None:
        """Forget that files were skipped. Writes."""

    def touch_document(self, file_id: int, signature: Signature) -> None:
        """Note a file's new signature when its content is the same. Writes."""

    def remove_documents(self, file_ids: Iterable[int]) -> None:
        """Take documents and their chunks out; their vectors stay until remove_orphans, for a
        file that was only moved. Writes."""

    def remove_orphans(self, most: int = -1) -> bool:
        """Drop unique texts that no chunk has any more, and their vectors, looking at most of those
        that lost a chunk (-1: all). Returns whether there may be more. Writes."""

    def models(self) -> list[StoredModel]:
        """The embedding models whose vectors are held: first the one that the index is searched
        with, then those that are on their way in."""

    def add_model(self, model: StoredModel) -> StoredModel:
        """Note a model (its id is ignored) and return it with the id it got. Writes."""

    def remove_model(self, model: int) -> None:
        """Take a model and all its vectors out. Writes."""

    def missing_vectors(self, model: int, text_ids: Sequence[int] | None = None) -> list[int]:
        """The texts, of all or of these, without a vector of the model, in the order they were
        indexed."""

    def claims(self) -> AbstractContextManager[Claims]:
        """What this process has claimed of the unique texts to embed, as long as the context lasts.
        Another one in the same process waits for its end."""

    def count_missing(self, model: int) -> tuple[int, int]:
        """(unique texts without a vector of the model, all): quick enough for each search."""

    def add_vectors(
        self, model: int, text_ids: Sequence[int], unit_vectors: NDArray[np.float32]
    ) -> None:
        """Add unit vectors of shape (len(text_ids), dims) for texts that have none yet; those
        that are gone, or have one, are skipped. Writes."""

    def mark_truncated(self, model: int, text_ids: Iterable[int]) -> None:
        """Note that the model did not read the ends of texts that have a vector. Writes."""

    # Candidates

    def languages(self) -> list[str]:
        """The languages that documents are in, of those that qrank.analysis tells apart."""

    def bm25(
        self,
        terms: Sequence[str],
        limit: int,
        filter: Filter,
        prefixes: Sequence[str] = (),
        variants: Mapping[str, Sequence[str]] = NO_VARIANTS,
    ) -> list[tuple[int, float]]:
        """The limit best (chunk id, BM25 score) of those that pass the filter and hold any of
        terms, or a term that starts with one of prefixes, or, in documents of a language, one of
        its variants (with a * at its end: a term that starts so); best first, ties by id. A term
        that is given twice counts twice. Without any of them the filter's required phrases are
        what is scored."""

    def siblings(self, chunks: Sequence[int]) -> dict[int, int]:
        """Of those chunks that are one of several in their document a number of that document."""

    def named_chunks(self, key: str, filter: Filter, limit: int) -> list[int]:
        """The chunks of documents that have this name key (analysis/names.py) and pass the filter,
        by document and place, limit at most."""

    def term_scores(
        self,
        terms: Sequence[str],
        chunks: Sequence[int],
        prefixes: Sequence[str] = (),
        variants: Mapping[str, Sequence[str]] = NO_VARIANTS,
        filter: Filter = EVERYTHING,
    ) -> dict[int, float]:
        """What some terms, as `bm25` takes them, and the phrases that a filter requires, add to
        the scores of chunks that have them."""

    def nearest(
        self, model: int, query: NDArray[np.float32], limit: int, filter: Filter
    ) -> list[tuple[int, float]]:
        """The limit best (text id, cosine) for a unit query of shape (dims,) of those with a
        chunk that passes the filter, best first, ties by id."""

    def cosines(
        self, model: int, query: NDArray[np.float32], text_ids: Sequence[int]
    ) -> dict[int, float]:
        """Cosines with a unit query, of those unique texts that have a vector."""

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The words of documents as they are written; None where the store holds terms alone."""

    def count_holding(self, groups: Sequence[Sequence[str]], most: int) -> list[int]:
        """Of each group of terms how many chunks hold any of them, counted up to most."""

    # Fetching

    def chunks(self, ids: Iterable[int]) -> dict[int, StoredChunk]:
        """Chunks by id, of those ids that are still there."""

    def ids_in_order(self, filter: Filter) -> list[int]:
        """The ids of all chunks that pass a filter, by path and place."""

    def chunks_by_hash(self, low: bytes, high: bytes) -> list[StoredChunk]:
        """The chunks whose unique text's hash is from low to high."""

    def chunks_of_texts(self, text_ids: Iterable[int], filter: Filter) -> dict[int, StoredChunk]:
        """The chunks that have one of these unique texts and pass the filter, by chunk id."""

    def chunks_of_file(self, path: str) -> list[StoredChunk]:
        """The chunks of a file in order, of the first collection that holds it; path may be the
        location of a member. Those of all members when the file has none of its own."""

    def texts_to_embed(self, text_ids: Sequence[int]) -> list[ChunkText]:
        """What unique texts are made from, in the order of the ids, as far as they exist."""

    def text_ids(self, hashes: Sequence[bytes]) -> dict[bytes, int]:
        """The unique texts that have one of these hashes."""

    def vectors(self, model: int, text_ids: Sequence[int]) -> tuple[list[int], NDArray[np.float32]]:
        """(the ids of texts that have a vector, their unit vectors, of shape (n, dims))."""

    def documents(self, filter: Filter) -> Iterator[NewDocument]:
        """All documents whose files pass the filter (its phrases are not examined), by
        collection and path, as they went in."""

    def count_chunks(self, filter: Filter = EVERYTHING) -> int:
        """How many chunks the index holds, of those that pass the filter."""

    def field_kinds(self) -> dict[str, list[str]]:
        """The names of all fields of documents, rows and messages (qrank.analysis.fields has how
        they are compared), each with the kinds of its values."""

    def field_examples(self, name: str, limit: int) -> list[str]:
        """Some values of a field."""

    def fields(self, filter: Filter) -> list[FieldCount]:
        """The fields of what passes a filter (its phrases are not examined), each with its most
        frequent values; the most frequent first."""

    def field_values(self, name: str, filter: Filter, limit: int) -> tuple[list[ValueCount], int]:
        """(the limit most frequent values of a field, in what passes a filter, how many values
        there are)."""

    def status(self) -> dict[str, Any]:
        """What the index holds, as `qrank status --json` says it."""

    def check(self) -> list[Check]:
        """Whether all that belongs together is there, for `qrank doctor --index`."""

    def vacuum(self) -> None:
        """Give back the room of what was removed. Writes, in its own transactions."""
