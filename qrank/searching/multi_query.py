"""Fusing the answers to several queries, each of which was searched for by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from qrank.analysis.copies import Copy
from qrank.results import Answer, Result, Scores, StageScore, Stale
from qrank.searching.search import DEPTH, Query
from qrank.searching.selection import Selection, capped, in_sort, limited
from qrank.searching.shown import Folding


def one_of(query: Query, text: str, count: int) -> Query:
    """The query for one of `count` texts whose answers are fused: its time limits are divided by
    count; the options that concern the fused results (offset, sort, min_score…) are unset."""
    return replace(
        query,
        text=text,
        limit=max(DEPTH, query.limit + query.offset),
        offset=0,
        sort=None,
        budget=None if query.budget is None else query.budget / count,
        answer_seconds=None if query.answer_seconds is None else query.answer_seconds / count,
        min_score=None,
        stale=Stale.warn,
        copies=True,
    )


def fuse_answers(answers: Sequence[Answer], query: Query) -> Answer:
    """Fuse the answers to several queries, made with `one_of`; query: their common options.

    Reranked chunks come first, each with its highest relevance to any of the queries. The others
    follow by the mean of their scores, 0 where a query did not find them, so that chunks found by
    several queries move up.
    """
    parts = [
        (answer.query, frozenset(r.id for r in answer.results if r.scores.bm25))
        for answer in answers
    ]
    by_id: dict[str, list[Result]] = {}
    for answer in answers:
        for result in answer.results:
            by_id.setdefault(result.id, []).append(result)
    fused = [_fused(results, len(answers)) for results in by_id.values()]
    fused.sort(key=lambda r: (r.scores.rerank is None, -r.score, r.location, r.start_byte))
    for stage in ("bm25", "vector", "fused"):
        _rank(fused, stage)
    reranked = sum(result.scores.rerank is not None for result in fused)
    results = fused
    if query.min_score is not None:
        results = fused[:reranked] if reranked else fused
        results = [result for result in results if result.score >= query.min_score]
    terms = list(dict.fromkeys(term for answer in answers for term in answer.terms))
    return Answer(
        query="\n".join(answer.query for answer in answers),
        mode=answers[0].mode,
        models={
            role: next((a.models[role] for a in answers if a.models[role]), None)
            for role in answers[0].models
        },
        results=ranked(results, terms, query),
        timings_ms=sums(answer.timings_ms for answer in answers),
        reranked=reranked,
        candidates=len(fused),
        truncated=any(answer.truncated for answer in answers),
        promised=total(answer.promised for answer in answers),
        needed=sum(answer.needed for answer in answers),
        terms=terms,
        parts=parts,
        synonyms=list(dict.fromkeys(each for answer in answers for each in answer.synonyms)),
    )


def ranked(results: list[Result], terms: Sequence[str], selection: Selection) -> list[Result]:
    """Apply the options that limit and sort results to fused ones, which come best first, and set
    their ranks. terms: those of the queries."""
    if not selection.copies:
        results = _folded(results, terms)
    if selection.per_file is not None:
        results = capped(results, selection.per_file, lambda result: result.location)
    most = selection.limit + selection.offset
    results = limited(results, most, selection.stale, lambda r: r.stale, lambda r: r.location)
    with_ranks = [replace(each, rank=rank) for rank, each in enumerate(results, 1)]
    return in_sort(with_ranks[selection.offset :], selection.sort)


def _folded(results: Sequence[Result], terms: Sequence[str]) -> list[Result]:
    """Fold near-duplicate results into the first of each, which lists the others."""
    groups = Folding(terms).groups(results, lambda result: result)
    return [
        replace(
            first, copies=[*first.copies, *(each for other in others for each in _copies(other))]
        )
        for first, *others in groups
    ]


def _copies(result: Result) -> list[Copy]:
    lines = (result.start_line, result.end_line, result.page)
    return [Copy(result.id, result.path, result.member, *lines), *result.copies]


def total(seconds: Iterable[float | None]) -> float | None:
    """The sum of the values that are not None; None when there are none."""
    values = [value for value in seconds if value is not None]
    return sum(values) if values else None


def _fused(results: list[Result], queries: int) -> Result:
    """Fuse the results that different queries have for one chunk; ranks are set later."""
    best = max(results, key=lambda r: (r.scores.rerank is not None, r.score))

    def mean(stage: str) -> StageScore | None:
        scores = [s.score for r in results if (s := getattr(r.scores, stage))]
        return StageScore(0, sum(scores) / queries) if scores else None

    scores = Scores(mean("bm25"), mean("vector"), mean("fused"), best.scores.rerank)
    scores.shift = sum(result.scores.shift for result in results) / queries
    scores.named = any(result.scores.named for result in results)
    score = best.score if scores.rerank else getattr(scores, best.score_kind).score
    return replace(best, scores=scores, score=score)


def _rank(results: list[Result], stage: str) -> None:
    scored = [r for r in results if getattr(r.scores, stage)]
    scored.sort(key=lambda r: (-getattr(r.scores, stage).score, r.location, r.start_byte))
    for rank, result in enumerate(scored, 1):
        setattr(result.scores, stage, StageScore(rank, getattr(result.scores, stage).score))


def sums(timings: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The sums of milliseconds by stage."""
    result: dict[str, float] = {}
    for each in timings:
        for stage, milliseconds in each.items():
            result[stage] = round(result.get(stage, 0.0) + milliseconds, 2)
    return result
