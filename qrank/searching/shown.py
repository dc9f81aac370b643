"""Chunks of the store as results, and as callers of the API see them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from qrank.analysis.copies import Copy, Shape, Words
from qrank.analysis.text import tokens
from qrank.results import IndexedChunk, Result, Scores, StoredChunk
from qrank.searching.places.ids import short_id
from qrank.searching.selection import is_stale

T = TypeVar("T")


@dataclass(slots=True)
class Candidate:
    """A chunk that may become a result."""

    chunk: StoredChunk
    scores: Scores
    final: float  # the score that candidates are sorted by
    copies: list[Copy] = field(default_factory=list)  # near-duplicates that rank lower
    cosine: float | None = None  # of chunk and query, also if it is not among the nearest
    relevance: float | None = None  # calibrated probability

    @property
    def score(self) -> float:
        """The score that is shown: relevance if there is one, else final."""
        return self.final if self.relevance is None else self.relevance


def result_of(
    rank: int,
    candidate: Candidate,
    kind: str,
    terms: Collection[str] = (),
    matcher: Callable[[str], list[tuple[int, int]]] | None = None,
) -> Result:
    """Make a Result of a candidate. kind: the kind of its score, unless it was reranked or
    calibrated. terms: those of the query, to mark in the text. matcher: finds further spans."""
    text = candidate.chunk.chunk.text
    calibrated = candidate.relevance is not None
    if candidate.scores.rerank:
        kind = "rerank"
    spans = matches(text, terms)
    return Result(
        rank=rank,
        score=candidate.score,
        score_kind="relevance" if calibrated else kind,
        calibrated=calibrated,
        scores=candidate.scores,
        copies=candidate.copies,
        matches=sorted({*spans, *matcher(text)}) if matcher else spans,
        **_chunk_fields(candidate.chunk),
    )


def matches(text: str, terms: Collection[str]) -> list[tuple[int, int]]:
    """The spans of words that are terms of the query: (start, end) in characters, in order.

    >>> matches("Green teas, and tea", ["tea"])
    [(6, 10), (16, 19)]
    """
    stems = frozenset(terms)
    if not stems:
        return []
    spans = [(start, end) for start, end, own in tokens(text) if stems.intersection(own)]
    return list(dict.fromkeys(spans))


class Folding:
    """Groups near-duplicate chunks. terms: those of the query."""

    def __init__(self, terms: Collection[str]) -> None:
        self._terms = frozenset(terms)
        # Caches, since the same chunks are grouped several times.
        self._words: dict[str, Words] = {}  # by text
        self._shapes: dict[object, Shape] = {}  # by chunk id
        self._copies: dict[tuple[int, int], bool] = {}  # by pair of shapes

    def groups(
        self,
        items: Iterable[T],
        chunk: Callable[[T], IndexedChunk | StoredChunk],
        most: int | None = None,
    ) -> list[list[T]]:
        """Group items in their order: each group is an item and later ones that are
        near-duplicates of its chunk, with no query term that it does not have. most: stop after so
        many groups, whose later items are then missing."""
        groups: list[list[T]] = []
        heads: list[Shape] = []  # of the first item of each group
        by_key: dict[object, list[int]] = {}
        for item in items:
            shape = self._shape(chunk(item))
            similar = sorted({i for key in shape.text.keys for i in by_key.get(key, ())})
            number = next((i for i in similar if self._are_copies(heads[i], shape)), None)
            if number is not None:
                groups[number].append(item)
                continue
            for key in shape.text.keys:
                by_key.setdefault(key, []).append(len(groups))
            heads.append(shape)
            groups.append([item])
            if len(groups) == most:
                break
        return groups

    def _shape(self, chunk: IndexedChunk | StoredChunk) -> Shape:
        if chunk.id not in self._shapes:
            inner = chunk.chunk if isinstance(chunk, StoredChunk) else chunk
            if inner.text not in self._words:
                self._words[inner.text] = Words.of(inner.text)
            above = (chunk.title, inner.heading)
            self._shapes[chunk.id] = Shape(above, chunk.location, self._words[inner.text])
        return self._shapes[chunk.id]

    def _are_copies(self, first: Shape, other: Shape) -> bool:
        pair = (id(first), id(other))  # valid as keys: _shapes keeps the objects alive
        if pair not in self._copies:
            self._copies[pair] = first.equals(other) or (
                first.is_near(other) and self._query_words(other) <= self._query_words(first)
            )
        return self._copies[pair]

    def _query_words(self, shape: Shape) -> frozenset[str]:
        terms = (term for _, _, own in tokens(" ".join(shape.text.words)) for term in own)
        return self._terms.intersection(terms)


def copy_of(stored: StoredChunk) -> Copy:
    """The location of a near-duplicate of a result."""
    c = stored.chunk
    lines = (c.start_line, c.end_line, c.page)
    return Copy(short_id(stored), stored.path, stored.member or None, *lines)


def indexed_chunk(stored: StoredChunk) -> IndexedChunk:
    """A chunk of the store as callers of the API see it."""
    return IndexedChunk(**_chunk_fields(stored))


def _chunk_fields(stored: StoredChunk) -> dict[str, Any]:
    chunk = stored.chunk
    fields = json.loads(stored.fields) if stored.fields else {}
    pages = fields.get("ocr_pages")
    return {
        "id": short_id(stored),
        "number": stored.id,
        "date_ns": stored.date_ns,
        "path": stored.path,
        "member": stored.member or None,
        "collection": stored.collection,
        "title": stored.title or Path(stored.location).name,
        "heading": chunk.heading,
        "start_line": chunk.start_line,
        "end_line": chunk.end_line,
        "start_byte": chunk.start_byte,
        "end_byte": chunk.end_byte,
        "page": chunk.page,
        "text": chunk.text,
        "fields": fields,
        "ocr": isinstance(pages, list) and chunk.page is not None and chunk.page in pages,
        "stale": is_stale(stored),
    }
