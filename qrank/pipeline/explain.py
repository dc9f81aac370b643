"""Why BM25 scored a result as it did: what each term of the query adds."""

from __future__ import annotations

from collections import Counter

from qrank.pipeline.query import parse
from qrank.results import Answer
from qrank.store.interface import StoreInterface


def bm25_terms(store: StoreInterface, answer: Answer) -> dict[str, dict[str, float]]:
    """What each of the query's terms adds to the BM25 score of each result, by result id."""
    query = parse(answer.query, store.languages())
    ids = [int(result.id) for result in answer.results]
    parts: dict[str, dict[str, float]] = {result.id: {} for result in answer.results}

    def note(term: str, scores: dict[int, float]) -> None:
        for chunk, score in scores.items():
            parts[str(chunk)][term] = score

    for term, times in Counter(query.terms).items():  # FTS5 counts a repeated term repeatedly
        note(term, store.term_scores([term] * times, ids))
    for prefix in query.prefixes:
        note(prefix, store.term_scores((), ids, prefixes=[prefix]))
    for language, terms in query.variants.items():
        for term in terms:
            note(term, store.term_scores((), ids, variants={language: [term]}))
    return parts
