"""Finding what is similar to a file, or a place in it, by the vectors in the index; no model is
run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qrank.analysis import text
from qrank.errors import InputError
from qrank.markup import readable
from qrank.progress import Silent
from qrank.results import Answer, Mode, Scores, StageScore, StoredChunk
from qrank.searching.places.ids import find
from qrank.searching.places.lookup import chunks_of, not_held, require_order
from qrank.searching.places.parse import parse_place
from qrank.searching.search import (
    PASSAGES_A_FILE,
    Clock,
    Query,
    distinct,
    in_order,
    in_sort,
    select,
    stage_scores,
)
from qrank.searching.shown import Candidate, result_of
from qrank.store.interface import Store, StoredModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORDS = 60  # of a chunk, the most frequent first, are searched for where there are no vectors


def similar(store: Store, place: str, query: Query, model: StoredModel | None) -> Answer:
    """The chunks that are most like place: a path, or PATH:LINE for one chunk of it.

    Those of the same file, or that one chunk, are skipped. They are ordered by cosine with the
    middle of the place's vectors; in mode bm25, or when the index has no vectors (model None),
    by BM25 for the place's words. Of query its limit, per_file, min_score, stale, filter and mode
    count.
    Raises InputError when the place is not in the index.
    """
    own = chunks_at(store, place)
    clock = Clock(Silent())
    answer = Answer(place, Mode.vector.value, {"embed": None, "rerank": None}, [])
    by_vector = model and query.mode is not Mode.bm25
    vector = _middle(store, model.id, [c.text_id for c in own]) if model and by_vector else None
    depth = (query.limit + query.offset + len(own)) * (PASSAGES_A_FILE if query.per_file else 1)
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


def _middle(store: Store, model: int, text_ids: list[int]) -> NDArray[np.float32] | None:
    """The mean of chunks' vectors as a unit vector, of shape (dims,); None without any."""
    import numpy as np

    with_vector, unit_vectors = store.vectors(model, text_ids)
    if not with_vector:
        return None
    middle: NDArray[np.float32] = unit_vectors.mean(axis=0)
    return middle / (float(np.linalg.norm(middle)) or 1.0)


def chunks_at(store: Store, place: str) -> list[StoredChunk]:
    """The chunks of a file or of a page, or the one at PATH:LINE (else the last before that line),
    or with an id.

    Raises InputError when it is not in the index.
    """
    chunks = chunks_of(store, place)
    if chunks:
        return chunks
    if stored := find(store, place):
        return [stored]
    meant = parse_place(place)
    chunks = chunks_of(store, meant.path) if meant.path != place else []
    if not chunks:
        raise not_held(store, meant.path)
    if meant.page is not None:
        chunks = [stored for stored in chunks if stored.chunk.page == meant.page]
        if not chunks:
            raise InputError(f"{meant.path} has no text on page {meant.page}")
        return chunks
    require_order(meant)
    before = [stored for stored in chunks if stored.chunk.start_line <= meant.first]
    return before[-1:] or chunks[:1]


def _scores(mode: str, score: StageScore) -> Scores:
    return Scores(bm25=score) if mode == Mode.bm25 else Scores(vector=score)


def _is_own(stored: StoredChunk, own: list[StoredChunk]) -> bool:
    """Whether a chunk is the place itself: its file, or when it is one chunk, that one."""
    if len(own) > 1:
        return stored.location == own[0].location
    return (stored.location, stored.chunk.start_byte) == (own[0].location, own[0].chunk.start_byte)
