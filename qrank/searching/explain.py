"""Explaining BM25 scores: the contribution of each query term (`--explain`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from qrank.results import Answer
from qrank.searching.interpret.meaning import meaning
from qrank.searching.interpret.parts import WHOLE
from qrank.searching.query import ParsedQuery
from qrank.store.filters import Filter
from qrank.store.interface import Store


def bm25_terms(store: Store, answer: Answer) -> dict[str, dict[str, float]]:
    """The contribution of each query term to the BM25 score of each result: {result id: {term:
    score}}. With several fused queries, the contributions to the mean of their scores."""
    added: dict[str, dict[str, float]] = {result.id: {} for result in answer.results}
    numbers = {result.id: result.number for result in answer.results}
    shown = {number: id for id, number in numbers.items()}
    queries = answer.parts or [(answer.query, frozenset(added))]
    languages = store.languages()
    for text, scored in queries:
        ids = [number for i, number in numbers.items() if i in scored]
        query = meaning(store, text, languages)
        for term, scores in _scores(store, query, ids):
            for chunk, score in scores.items():
                terms = added[shown[chunk]]
                terms[term] = terms.get(term, 0.0) + score / len(queries)
    for result in answer.results:
        if result.scores.bm25 and result.scores.shift:
            added[result.id]["(its document)"] = -result.scores.shift
    return added


def _scores(
    store: Store, query: ParsedQuery, ids: Sequence[int]
) -> Iterator[tuple[str, dict[int, float]]]:
    """Each scored part of a query (term, compound, prefix, phrase) as it is shown, with its
    contribution by chunk id."""
    for term, times in Counter(query.terms).items():  # FTS5 counts a repeated term repeatedly
        yield term, store.term_scores([term] * times, ids)
    for compound in query.compounds:
        yield f'"{compound}"', store.term_scores([compound], ids)
    for prefix in query.prefixes:
        yield prefix, store.term_scores((), ids, prefixes=[prefix])
    for language, terms in query.variants.items():
        for term in terms:
            yield term, store.term_scores((), ids, variants={language: [term]})
    for language, parts in query.parts.items():
        for part in parts:
            scores = store.term_scores((), ids, variants={language: [part]})
            yield part, {chunk: score / WHOLE for chunk, score in scores.items()}
    for phrase in query.required:  # it counts beside its terms
        shown = f'{"title:" * phrase.title}"{" ".join(phrase.terms)}"'
        yield shown, store.term_scores((), ids, filter=Filter(required=(phrase,)))
