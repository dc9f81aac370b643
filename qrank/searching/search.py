"""Searching: parse the query -> find candidates -> fuse -> rerank -> results."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from qrank.analysis.names import asks_for, name_key
from qrank.arguments import require_count, require_number, require_type
from qrank.errors import IndexFileError, QueryError
from qrank.progress import Progress, Silent
from qrank.results import Answer, Mode, Scores, StageScore, StoredChunk
from qrank.searching.definitions import defines, symbol
from qrank.searching.fusion import fuse, shifts
from qrank.searching.interpret.meaning import meaning
from qrank.searching.interpret.parts import scored
from qrank.searching.interpret.synonyms import synonym_terms
from qrank.searching.query import ParsedQuery
from qrank.searching.scores.calibration import FEWEST, calibrate, odds_for
from qrank.searching.selection import Selection, capped, in_sort, is_stale, limited
from qrank.searching.shown import Candidate, Folding, copy_of, result_of
from qrank.store.filters import EVERYTHING, Filter
from qrank.store.interface import Store

if TYPE_CHECKING:
    from qrank.searching.models import SearchModels, Semantic
    from qrank.store.cache import Cache

T = TypeVar("T")
DEPTH = 100  # candidates of each stage, at least
CHUNKS_PER_FILE = 10  # with --per-file, so many times the limit are examined
BATCH = 500  # chunks read at once when all are listed
WIDER = 8  # times as many candidates, when too few of them match
PREFIX_LENGTH = 3  # characters from which an unfinished word is searched for as a prefix


@dataclass(frozen=True, slots=True)
class Query(Selection):
    """A query and its options."""

    text: str
    mode: Mode = Mode.hybrid
    candidates: int = 30  # how many of the fused candidates are reranked
    budget: float | None = None  # seconds for reranking; at least one batch is always scored
    answer_seconds: float | None = None  # for the search; only what fits is reranked, or nothing
    min_score: float | None = None
    unfinished: bool = False  # the last word is still being typed
    filter: Filter = EVERYTHING
    fusion_weight: float | None = None  # of the cosine, 0 to 1; None: the embedder's default
    rerank_weight: float | None = None  # of P(yes), 0 to 1; None: the reranker's default
    syntax: bool = True  # whether "phrases", -words, title:words and field:values are parsed
    matcher: Callable[[str], list[tuple[int, int]]] | None = None  # spans in a text; [] drops it
    cached: bool = True  # whether the cache of vectors and scores is used
    calibrated: bool = False  # whether scores become probabilities of relevance, if possible

    def __post_init__(self) -> None:
        """Raises TypeError for an option of another type, ValueError for a number out of range."""
        Selection.__post_init__(self)  # a class with slots has no super()
        require_type("query", self.text, str)
        require_count("candidates", self.candidates)
        require_number("budget", self.budget, least=0)
        require_number("answer_seconds", self.answer_seconds, least=0)
        require_number("min_score", self.min_score)


class Clock:
    """Measures the milliseconds of each stage, and notifies progress of it."""

    def __init__(self, progress: Progress) -> None:
        self.timings: dict[str, float] = {}
        self.progress = progress
        self._started = time.perf_counter()

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[None]:
        """Measure the body of a `with` as a stage; total: its number of steps, if known."""
        self.progress.stage(name, total)
        started = time.perf_counter()
        try:
            yield
        finally:
            self.timings[name] = round((time.perf_counter() - started) * 1000, 2)

    @property
    def seconds(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self._started

    def total(self) -> dict[str, float]:
        """Milliseconds by stage, and as "total" since the clock was made."""
        return self.timings | {"total": round(self.seconds * 1000, 2)}


def search(
    store: Store,
    models: SearchModels,
    query: Query,
    *,
    rerank: bool,
    progress: Progress | None = None,
    parsed: ParsedQuery | None = None,
) -> Answer:
    """Answer a query. Models are only loaded when a stage needs them.

    rerank: whether candidates are reranked. parsed: query.text parsed, if it already is. progress
    is notified of stages and reranked candidates; an exception from it ends the search. If it has a
    method draft, that gets the answer so far before reranking and after each batch.
    Raises QueryError for a query without words (unless it only filters), IndexFileError for mode
    vector without vectors and for stale results with Stale.fail.
    """
    if not query.text.replace('"', "").strip():
        if query.matcher or query.filter.conditions:
            return _listed(store, query, query.filter)
        raise QueryError("the query is empty", hint="give some words to search for")
    semantic = models.semantic(store, query.mode, query.filter)
    if query.mode is Mode.vector and semantic is None:
        raise IndexFileError(
            f"the index {store.path} has no vectors", hint="run qrank index without --no-embed"
        )
    clock = Clock(progress or Silent())
    parsed = parsed or meaning(
        store, query.text, store.languages(), syntax=query.syntax, unfinished=query.unfinished
    )
    if not parsed.plain.strip():
        if query.matcher or query.filter.conditions or parsed.conditions:
            return _listed(store, query, _with_query(query.filter, parsed))
        raise QueryError("the query only excludes words", hint="add words to search for")
    terms = list(
        dict.fromkeys([*parsed.terms, *parsed.prefixes, *synonym_terms(parsed), *parsed.marks])
    )
    folding = None if query.copies else Folding(terms)
    answer = Answer(query.text, query.mode.value, {"embed": None, "rerank": None}, [], terms=terms)
    answer.synonyms = list(parsed.synonyms)
    if semantic:
        models.begin(
            semantic,
            parsed.for_models,
            cached=query.cached,
            rerank=rerank,
            seconds=query.answer_seconds,
        )
    matching = _matching(store, models.cache, query, parsed, semantic, answer, clock, folding)
    own = _with_phrases(store, parsed, matching)
    matching = by_rules(matching, own)
    answer.candidates = len(matching)
    kind = "fused" if query.mode is Mode.hybrid else query.mode.value
    if query.mode is Mode.hybrid:
        for rank, candidate in enumerate(matching, 1):
            candidate.scores.fused = StageScore(rank, candidate.final)

    reranker = models.reranker() if rerank and matching else None
    # The weights were fitted to FTS5's BM25; a search engine's scores differ.
    calibrating = query.calibrated and query.mode is Mode.hybrid and isinstance(store.path, Path)
    odds = odds_for(semantic, reranker) if calibrating else None
    chunks = store.count_chunks(EVERYTHING) if odds else 0
    if chunks < FEWEST:
        odds = None

    def settle(candidates: list[Candidate]) -> None:
        if odds:
            calibrate(candidates, odds, len({*parsed.terms, *parsed.prefixes}), chunks)
        elif query.min_score is not None and answer.reranked:
            # min_score is a threshold for relevance, so it can't be applied to fused scores.
            candidates = candidates[: answer.reranked]
        candidates = select(candidates, query, folding)
        first = 1 + query.offset
        ranked = [
            result_of(rank, each, kind, terms, query.matcher)
            for rank, each in enumerate(candidates, first)
        ]
        answer.results = in_sort(ranked, query.sort)
        answer.timings_ms = clock.total()

    def ordered(candidates: list[Candidate]) -> list[Candidate]:
        count = answer.reranked
        return by_rules(sorted(candidates[:count], key=in_order) + candidates[count:], own)

    draft: Callable[[Answer], None] | None = getattr(progress, "draft", None)

    def show(candidates: list[Candidate]) -> None:
        if draft:
            settle(ordered([replace(c, scores=replace(c.scores)) for c in candidates]))
            draft(answer)

    if reranker:
        from qrank.searching.reranking import reranked

        with clock.stage("rerank", min(query.candidates, len(matching))):
            show(matching)
            matching = reranked(
                models.cache, matching, query, parsed.for_models, reranker, answer, clock, show
            )
            matching = ordered(matching)
    settle(matching)
    return answer


def _listed(store: Store, query: Query, filter: Filter) -> Answer:
    """All chunks that pass a filter and query.matcher, by path and line, up to query.limit: the
    answer to a query without words."""
    answer = Answer(query.text, Mode.bm25.value, {"embed": None, "rerank": None}, [])
    ids = store.ids_in_order(filter)
    most = query.limit + query.offset
    by_place: dict[tuple[str, int, int], Candidate] = {}  # a file may be in two collections
    while batch := list(islice(ids, BATCH)):
        chunks = store.chunks(batch)
        for stored in (chunks[i] for i in batch if i in chunks):
            place = (stored.location, stored.chunk.start_byte, stored.chunk.end_byte)
            if query.matcher is None or query.matcher(stored.chunk.text):
                by_place.setdefault(place, Candidate(stored, Scores(), 1.0))
        if len(by_place) >= most and query.per_file is None:
            break
    answer.candidates = len(by_place)
    chosen = select([*by_place.values()], query)
    results = [
        result_of(rank, each, "match", matcher=query.matcher)
        for rank, each in enumerate(chosen, 1 + query.offset)
    ]
    answer.results = in_sort(results, query.sort)
    return answer


def _with_query(filter: Filter, parsed: ParsedQuery) -> Filter:
    """A filter with the phrases, exclusions and conditions of a query added."""
    return filter._replace(
        required=parsed.required,
        excluded=parsed.excluded,
        conditions=filter.conditions + parsed.conditions,
    )


def _matching(
    store: Store,
    cache: Cache,
    query: Query,
    parsed: ParsedQuery,
    semantic: Semantic | None,
    answer: Answer,
    clock: Clock,
    folding: Folding | None,
) -> list[Candidate]:
    """The candidates that match query.matcher, in order. If they are fewer than the limit, not
    counting near-duplicates, more candidates are examined, until there are no more."""
    examined, wider = -1, query
    while True:
        candidates = _candidates(store, cache, wider, parsed, semantic, answer, clock)
        candidates = distinct(sorted(candidates, key=in_order))
        matcher = query.matcher
        matching = [c for c in candidates if matcher is None or matcher(c.chunk.chunk.text)]
        most = query.limit + query.offset
        count = len(folding.groups(matching, chunk_of, most) if folding else matching)
        enough = count >= most or len(candidates) == examined
        if enough or count == len(candidates):
            return matching
        examined = len(candidates)
        wider = replace(wider, limit=WIDER * max(DEPTH, wider.limit))


def select(
    candidates: list[Candidate], query: Query, folding: Folding | None = None
) -> list[Candidate]:
    """Apply the query's min_score, per_file, stale, offset and limit to candidates, best first;
    folding: list near-duplicates as copies of the best one."""
    if query.min_score is not None:
        candidates = [c for c in candidates if c.score >= query.min_score]
    copies: dict[int, list[Candidate]] = {}
    if folding:
        groups = folding.groups(candidates, chunk_of)
        candidates = [first for first, *_ in groups]
        copies = {first.chunk.id: others for first, *others in groups if others}
    if query.per_file is not None:
        candidates = capped(candidates, query.per_file, lambda c: c.chunk.location)
    chosen = limited(
        candidates,
        query.limit + query.offset,
        query.stale,
        is_stale=lambda c: is_stale(c.chunk),
        path=lambda c: c.chunk.location,
    )
    return [
        replace(each, copies=[copy_of(other.chunk) for other in copies.get(each.chunk.id, ())])
        for each in chosen[query.offset :]
    ]


def chunk_of(candidate: Candidate) -> StoredChunk:
    """A candidate's chunk, as a key function."""
    return candidate.chunk


def in_order(candidate: Candidate) -> tuple[float, str, int]:
    """A sort key: best first, ties by path and position."""
    return (-candidate.final, candidate.chunk.location, candidate.chunk.chunk.start_byte)


def by_rules(candidates: list[Candidate], own: Collection[int] | None) -> list[Candidate]:
    """Reorder candidates by two rules: chunks of documents whose name is the query come first;
    chunks with the query's phrases in their own text (own: their ids; None: there are no phrases)
    come before those with them in title or headings. Scores are changed to match the order."""
    named = [c for c in candidates if c.scores.named]
    others = [c for c in candidates if not c.scores.named]
    top = max((c.final for c in others), default=0.0)
    for candidate in named:
        candidate.final = max(candidate.final, top)
    if own is not None:
        in_text = [c for c in others if c.chunk.id in own]
        in_title = [c for c in others if c.chunk.id not in own]
        lowest = min((c.final for c in in_text), default=top)
        for candidate in in_title:
            candidate.final = min(candidate.final, lowest)
        others = in_text + in_title
    return sorted(named, key=in_order) + others


def _with_phrases(
    store: Store, parsed: ParsedQuery, candidates: list[Candidate]
) -> set[int] | None:
    """The ids of candidates whose own text has all phrases of the query; None without phrases."""
    phrases = [phrase._replace(own=True) for phrase in parsed.required if not phrase.title]
    if not phrases or not candidates:
        return None
    ids = [candidate.chunk.id for candidate in candidates]
    return set(store.term_scores((), ids, filter=Filter(required=tuple(phrases))))


def distinct(candidates: list[Candidate]) -> list[Candidate]:
    """Candidates without duplicates: a file may be in several collections."""
    places: dict[tuple[str, int, int], Candidate] = {}
    for candidate in candidates:
        place = candidate.chunk.chunk
        places.setdefault((candidate.chunk.location, place.start_byte, place.end_byte), candidate)
    return list(places.values())


def _candidates(
    store: Store,
    cache: Cache,
    query: Query,
    parsed: ParsedQuery,
    model: Semantic | None,
    answer: Answer,
    clock: Clock,
) -> list[Candidate]:
    """The candidates of BM25 and vector search with their fused score; unsorted."""
    most = query.limit + query.offset
    most = most if query.per_file is None else most * CHUNKS_PER_FILE
    depth = max(DEPTH, most, query.candidates)
    filter = _with_query(query.filter, parsed)
    lexical: list[tuple[int, float]] = []
    lower: dict[int, float] = {}
    if query.mode is not Mode.vector:
        with clock.stage("bm25"):
            prefixes = parsed.prefixes
            if query.unfinished and parsed.terms and len(parsed.terms[-1]) >= PREFIX_LENGTH:
                prefixes = (*prefixes, parsed.terms[-1])
            whole = [term for term in parsed.terms if term not in prefixes]
            whole += parsed.compounds
            lexical = scored(store, whole, prefixes, parsed, depth, filter)
            lower = shifts(lexical, store.siblings([chunk for chunk, _ in lexical]), DEPTH)
            lexical = [(chunk, score - lower.get(chunk, 0.0)) for chunk, score in lexical]
            lexical.sort(key=lambda pair: (-pair[1], pair[0]))
    chunks = store.chunks(chunk for chunk, _ in lexical)
    names = _named(store, parsed.plain, filter)
    chunks |= names
    vector: list[tuple[int, float]] = []
    cosines: dict[int, float] = {}
    scale: set[int] = set()
    share = 0.0
    if model:
        from qrank.inference.cache import query_vector

        with clock.stage("embed"):
            vector_of_query = query_vector(
                cache if query.cached else None,
                model.key,
                parsed.for_models,
                model.stored.dims,
                model.use,
                model.instruction,
            )
        with clock.stage("vector"):
            near = store.nearest(model.stored.id, vector_of_query, depth, filter)
            chunks |= store.chunks_of_texts((text_id for text_id, _ in near), filter)
            by_text = dict(near)
            vector = [(i, by_text[c.text_id]) for i, c in chunks.items() if c.text_id in by_text]
            # BM25's candidates need their cosine, too, even if they are not among the nearest.
            others = {c.text_id for c in chunks.values()} - by_text.keys()
            by_text |= store.cosines(model.stored.id, vector_of_query, sorted(others))
            cosines = {i: by_text[c.text_id] for i, c in chunks.items() if c.text_id in by_text}
        # The scale must not depend on the limit, or scores would.
        nearest = {text_id for text_id, _ in near[:DEPTH]}
        scale = {i for i, _ in lexical[:DEPTH]} | {
            i for i, c in chunks.items() if c.text_id in nearest
        }
        answer.models["embed"] = model.choice.name
        share = model.choice.entry.fusion_weight
        if query.fusion_weight is not None:
            share = query.fusion_weight
    stages = {"bm25": stage_scores(lexical, chunks), "vector": stage_scores(vector, chunks)}
    if query.mode is Mode.hybrid:
        final = fuse(dict(lexical), cosines, share, scale)
    else:
        final = dict(lexical) or dict(vector)
    final = dict.fromkeys(names, 0.0) | final
    best = _best_of_each(final, names)
    if name := symbol(parsed.plain):
        best |= {i for i in final if i in chunks and defines(chunks[i], name)}
    return [
        Candidate(
            chunks[i],
            Scores(
                bm25=stages["bm25"].get(i),
                vector=stages["vector"].get(i),
                shift=lower.get(i, 0.0),
                named=i in best,
            ),
            score,
            cosine=cosines.get(i),
        )
        for i, score in final.items()
        if i in chunks and (i in best or i not in names or score)
    ]


def _named(store: Store, name: str, filter: Filter) -> dict[int, StoredChunk]:
    """The chunks, by id, of documents whose file name or title is the whole query."""
    key = name_key(name.replace("\\", "/").rpartition("/")[2])
    if not key:
        return {}
    chunks = store.chunks(store.named_chunks(key, filter, DEPTH))
    return {i: chunk for i, chunk in chunks.items() if asks_for(name, chunk.location)}


def _best_of_each(scores: Mapping[int, float], named: Mapping[int, StoredChunk]) -> set[int]:
    """The id of each document's chunk with the best score, or of its first chunk."""
    best: dict[tuple[str, str], int] = {}
    for i, chunk in sorted(named.items()):
        document = (chunk.collection, chunk.location)
        if document not in best or scores[i] > scores[best[document]]:
            best[document] = i
    return set(best.values())


def stage_scores(
    scores: list[tuple[int, float]], chunks: dict[int, StoredChunk]
) -> dict[int, StageScore]:
    """Each chunk's rank (from 1) and score in a stage; ties are broken by path and position."""
    order = [(i, score) for i, score in scores if i in chunks]
    order.sort(
        key=lambda pair: (-pair[1], chunks[pair[0]].location, chunks[pair[0]].chunk.start_byte)
    )
    return {i: StageScore(rank, score) for rank, (i, score) in enumerate(order, 1)}
