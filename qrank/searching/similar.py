"""Finding chunks similar to a file, or to a place in it, by the vectors in the index (`qrank
similar`). No model is run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qrank.analysis import text
from qrank.errors import InputError
from qrank.markup import readable
from qrank.progress import Silent
from qrank.results import Answer, Mode, Scores, StageScore, StoredChunk
from qrank.searching.places.ids import find
from qrank.searching.places.lookup import chunks_of, not_indexed, require_order
from qrank.searching.places.parse import parse_place
from qrank.searching.search import (
    CHUNKS_PER_FILE,
    Clock,
    Query,
    distinct,
    in_order,
    select,
    stage_scores,
)
from qrank.searching.selection import in_sort
from qrank.searching.shown import Candidate, result_of
from qrank.store.interface import Store, StoredModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORDS = 60  # of the place, the most frequent ones: the BM25 query where there are no vectors


def similar(store: Store, place: str, query: Query, model: StoredModel | None) -> Answer:
    """The chunks most similar to place: a path, or PATH:LINE for one chunk of it.

    Chunks of the same file, or that one chunk, are skipped. Results are sorted by cosine to the
    mean of the place's vectors; in mode bm25, or without vectors (model None), by BM25 for the
    place's words. query: its text is not used, nor the options for models.
    Raises InputError when the place is not in the index.
    """
    own = chunks_at(store, place)
    clock = Clock(Silent())
    answer = Answer(place, Mode.vector.value, {"embed": None, "rerank": None}, [])
    by_vector = model and query.mode is not Mode.bm25
    vector = _mean(store, model.id, [c.text_id for c in own]) if model and by_vector else None
    depth = (query.limit + query.offset + len(own)) * (CHUNKS_PER_FILE if query.per_file else 1)
    if model and vector is not None:
        answer.models["embed"] = model.name
        with clock.stage("vector"):
            near = dict(store.nearest(model.id, vector, depth, query.filter))
            chunks = store.chunks_of_texts(near, query.filter)
        scores = {i: near[stored.text_id] for i, stored in chunks.items()}
    else:
        answer.mode = Mode.bm25.value
        texts = (readable(stored.chunk.text, stored.location) for stored in own)
        words = Counter(term for each in texts for term in text.index_terms(each))
        terms = [term for term, _ in words.most_common(WORDS)]
        with clock.stage("bm25"):
            scores = dict(store.bm25(terms, depth, query.filter))
            chunks = store.chunks(scores)
    ranks = stage_scores(list(scores.items()), chunks)
    candidates = [
        Candidate(chunks[i], _scores(answer.mode, ranks[i]), score)
        for i, score in scores.items()
        if i in chunks and not _is_own(chunks[i], own)
    ]
    candidates = distinct(sorted(candidates, key=in_order))
    answer.candidates = len(candidates)
    candidates = select(candidates, query)
    first = 1 + query.offset
    ranked = [result_of(rank, c, answer.mode) for rank, c in enumerate(candidates, first)]
    answer.results = in_sort(ranked, query.sort)
    answer.timings_ms = clock.total()
    return answer


def _mean(store: Store, model: int, text_ids: list[int]) -> NDArray[np.float32] | None:
    """The mean of the texts' vectors as a unit vector of shape (dims,); None without vectors."""
    import numpy as np

    with_vector, unit_vectors = store.vectors(model, text_ids)
    if not with_vector:
        return None
    mean: NDArray[np.float32] = unit_vectors.mean(axis=0)
    return mean / (float(np.linalg.norm(mean)) or 1.0)


def chunks_at(store: Store, place: str) -> list[StoredChunk]:
    """The chunks of a file (PATH) or a page (PATH#page=N), or one chunk: the one with an id, or
    the last that starts at or before PATH:LINE.

    Raises InputError when it is not in the index.
    """
    chunks = chunks_of(store, place)
    if chunks:
        return chunks
    if stored := find(store, place):
        return [stored]
    parsed = parse_place(place)
    chunks = chunks_of(store, parsed.path) if parsed.path != place else []
    if not chunks:
        raise not_indexed(store, parsed.path)
    if parsed.page is not None:
        chunks = [stored for stored in chunks if stored.chunk.page == parsed.page]
        if not chunks:
            raise InputError(f"{parsed.path} has no text on page {parsed.page}")
        return chunks
    require_order(parsed)
    before = [stored for stored in chunks if stored.chunk.start_line <= parsed.first]
    return before[-1:] or chunks[:1]


def _scores(mode: str, score: StageScore) -> Scores:
    return Scores(bm25=score) if mode == Mode.bm25 else Scores(vector=score)


def _is_own(stored: StoredChunk, own: list[StoredChunk]) -> bool:
    """Whether a chunk belongs to the place: is of its file or, if the place is one chunk, is it."""
    if len(own) > 1:
        return stored.location == own[0].location
    return (stored.location, stored.chunk.start_byte) == (own[0].location, own[0].chunk.start_byte)
