"""Chunks of the store as results, and as callers of the API see them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qrank.analysis.text import tokens
from qrank.results import IndexedChunk, Result, Scores, StoredChunk
from qrank.searching.freshness import is_stale
from qrank.searching.places.ids import short_id


@dataclass(slots=True)
class Candidate:
    """A chunk on its way to being a result; final is the score that orders it."""

    chunk: StoredChunk
    scores: Scores
    final: float


def result_of(
    rank: int,
    candidate: Candidate,
    kind: str,
    terms: Collection[str] = (),
    matcher: Callable[[str], list[tuple[int, int]]] | None = None,
) -> Result:
    """A candidate as the result of that rank; kind: what its score is, unless reranked; terms:
    those of the query; matcher: what its text has to match."""
    text = candidate.chunk.chunk.text
    spans = matches(text, terms)
    return Result(
        rank=rank,
        score=candidate.final,
        score_kind="rerank" if candidate.scores.rerank else kind,
        scores=candidate.scores,
        matches=sorted({*spans, *matcher(text)}) if matcher else spans,
        **_chunk_fields(candidate.chunk),
    )


def matches(text: str, terms: Collection[str]) -> list[tuple[int, int]]:
    """Where words of a text are terms of the query: (start, end) in characters, in order.

    >>> matches("Green teas, and tea", ["tea"])
    [(6, 10), (16, 19)]
    """
    wanted = frozenset(terms)
    if not wanted:
        return []
    spans = [(start, end) for start, end, own in tokens(text) if wanted.intersection(own)]
    return list(dict.fromkeys(spans))


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
