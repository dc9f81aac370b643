"""Why a search found nothing, or only weak results, in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qrank.models.registry import Role, resolve
from qrank.results import Answer, Mode
from qrank.text import STOP_WORDS

if TYPE_CHECKING:
    from qrank.api import Index

FEW = 1 / 3  # of a query's words, at most, that a result far off has
WEAK = 0.1  # P(yes), of a reranker that decides alone, below which a best result is a poor one


def hint(
    index: Index,
    found: Answer,
    collections: Sequence[str],
    path: str | None,
    min_score: float | None,
) -> str:
    """What a user should know about this answer; empty when it is a good one."""
    if not found.results:
        return _why_nothing(index, found, collections, path, min_score)
    common = bool(found.terms) and set(found.terms) <= STOP_WORDS
    if common and found.mode != Mode.vector:
        return "all words of the query are very common ones; add one that tells more"
    if found.mode == Mode.hybrid and not index.has_vectors():
        return "the index has no vectors: words alone were compared (run qrank index)"
    if found.mode == Mode.hybrid and not any(r.scores.bm25 for r in found.results):
        no_word = "no result has any word of the query" if found.terms else "the query has no word"
        return f"{no_word}: these are the nearest by meaning"
    best = found.results[0].scores.rerank
    if best and best.p_yes == best.score < WEAK:
        return f"a weak answer: the reranker gives even the best result {best.p_yes:.2f} of 1"
    return ""


def far_off(index: Index, found: Answer) -> str:
    """The same for an answer whose words, and meaning, are hardly the query's, as far as that can
    be known of the embedder; for people alone, who see by the results whether it is so."""
    name = found.models["embed"]
    if not name or not found.results or not found.terms or found.parts:
        return ""
    best = found.results[0].scores.rerank
    if best and best.p_yes == best.score:  # a reranker that decides alone knows better
        return ""
    unrelated = resolve(Role.embedder, name).entry.unrelated
    cosines = [result.scores.vector.score for result in found.results if result.scores.vector]
    if unrelated is None or max(cosines, default=0.0) >= unrelated:
        return ""
    terms = set(found.terms)
    most = max(len(terms & said.keys()) for said in index.bm25_terms(found).values())
    if most > FEW * len(terms):
        return ""
    return "probably not what you look for: no result has much of the query's words or meaning"


def _why_nothing(
    index: Index,
    found: Answer,
    collections: Sequence[str],
    path: str | None,
    min_score: float | None,
) -> str:
    held = index.status()
    if not held["chunks"]:
        return "the index is empty; fill it with: qrank index PATH"
    known = [collection["name"] for collection in held["collections"]]
    if unknown := [name for name in collections if name not in known]:
        return f"there is no collection {unknown[0]}; there are: {', '.join(known)}"
    if path and not index.count(collections, path):
        return f"no indexed file matches --path {path}"
    if min_score is not None and found.candidates:
        return f"nothing found with a score of {min_score:g} or more (--min-score)"
    if not found.terms:
        return "nothing found: the query has no word in it"
    words = ", ".join(found.terms[:8])
    if found.mode == Mode.bm25 and index.has_vectors():
        return f"nothing found with any of: {words} (without --mode bm25 meaning counts, too)"
    if not index.has_vectors():
        return f"nothing found with any of: {words} (qrank index makes vectors, for the meaning)"
    return "nothing found"
