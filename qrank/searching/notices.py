"""Why a search found nothing, or only weak results, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from qrank.analysis.text import STOP_WORDS
from qrank.arguments import FilterOptions
from qrank.models.registry import Role
from qrank.results import Answer, Mode, RerankScore
from qrank.searching.build_filter import build_filter
from qrank.searching.explain import bm25_terms
from qrank.searching.query import parse

if TYPE_CHECKING:
    from qrank.models.registry import Registry
    from qrank.store.interface import Store

FEW = 1 / 3  # of a query's words, at most, that a result far off has
WEAK = 0.1  # P(yes), of a reranker that decides alone, below which a best result is a poor one
_OPTIONS = {"collections": "collection", "types": "type"}


def notice(
    store: Store,
    found: Answer,
    filter: FilterOptions,
    min_score: float | None,
    *,
    of_query: bool = True,
) -> str:
    """What a user should know about this answer, to a query or (similar) to a place; empty when it
    is a good one."""
    unfinished = _unfinished(store, found)
    if not found.results:
        why = _why_nothing(store, found, filter, min_score, of_query=of_query)
        return f"{why}; {unfinished}" if unfinished else why
    if unfinished:
        return unfinished
    common = bool(found.terms) and set(found.terms) <= STOP_WORDS
    if common and found.mode != Mode.vector:
        return "all words of the query are very common ones; add one that tells more"
    if found.mode == Mode.hybrid and not store.models():
        return "the index has no vectors: words alone were compared (run qrank index)"
    best = found.results[0].scores.rerank
    if _decides(best) and best.p_yes < WEAK:
        return f"a weak answer: the reranker gives even the best result {best.p_yes:.2f} of 1"
    return ""


def far_off(store: Store, models: Registry, found: Answer) -> str:
    """The same for an answer whose words, and meaning, are hardly the query's, as far as that can
    be known of the embedder; for people alone, who see by the results whether it is so."""
    name = found.models["embed"]
    if not name or not found.results:
        return ""
    if found.mode == Mode.hybrid and not any(r.scores.bm25 for r in found.results):
        no_word = "no result has any word of the query" if found.terms else "the query has no word"
        return f"{no_word}: these are the nearest by meaning"
    if not found.terms or found.parts or _decides(found.results[0].scores.rerank):
        return ""
    unrelated = models.resolve(Role.embedder, name).entry.unrelated
    cosines = [result.scores.vector.score for result in found.results if result.scores.vector]
    if unrelated is None or max(cosines, default=0.0) >= unrelated:
        return ""
    terms = set(found.terms)
    most = max(len(terms & said.keys()) for said in bm25_terms(store, found).values())
    if most > FEW * len(terms):
        return ""
    return "probably not what you look for: no result has much of the query's words or meaning"


def _unfinished(store: Store, found: Answer) -> str:
    """What a search by meaning did not see, because embedding was cut off."""
    models = store.models()
    if found.mode == Mode.bm25 or not models:
        return ""
    missing, passages = store.count_missing(models[0].id)
    if not missing:
        return ""
    return f"{missing} of {passages} passages have no vector yet (run qrank index)"


def _decides(score: RerankScore | None) -> TypeGuard[RerankScore]:
    """Whether a reranker's answer alone made a result's score: it knows better than a rule."""
    return score is not None and score.p_yes == score.score


def _why_nothing(
    store: Store, found: Answer, filter: FilterOptions, min_score: float | None, *, of_query: bool
) -> str:
    status = store.status()
    if not status["chunks"]:
        return "the index is empty; fill it with: qrank index PATH"
    if why := _no_file(store, status, filter):
        return why
    if min_score is not None and found.candidates:
        return f"nothing found with a score of {min_score:g} or more (--min-score)"
    if found.candidates:  # they were all left out by --stale
        return "nothing found in files that are as they were indexed (--stale drop)"
    if not of_query:
        return "nothing found: the index has no passage beside it to compare"
    demands = () if found.parts else parse(found.query).demands
    if demands and (found.mode != Mode.bm25 or any(said[0] != "-" for said in demands)):
        return f"nothing found that meets: {', '.join(demands)}"
    if not found.terms:
        return "nothing found: the query has no word in it"
    words = ", ".join(found.terms[:8])
    if found.mode == Mode.bm25 and store.models():
        return f"nothing found with any of: {words} (without --mode bm25 meaning counts, too)"
    if not store.models():
        return f"nothing found with any of: {words} (qrank index makes vectors, for the meaning)"
    return "nothing found"


def _no_file(store: Store, status: Mapping[str, Any], filter: FilterOptions) -> str:
    """Which option leaves no file to search; empty when some are left."""
    collections, path, types = filter.get("collections"), filter.get("path"), filter.get("types")
    since, until = filter.get("since"), filter.get("until")
    known = [collection["name"] for collection in status["collections"]]
    if unknown := [name for name in collections or () if name not in known]:
        return f"there is no collection {unknown[0]}; there are: {', '.join(known)}"
    if path and not store.count_chunks(build_filter(path=path)):
        return f"no indexed file matches --path {path}"
    if types and not store.count_chunks(build_filter(types=types)):
        return f"no indexed file ends in {' or '.join(types)} (--type takes md, pdf, markdown, …)"
    if since and not store.count_chunks(build_filter(since=since)):
        return f"no indexed file was changed since {since} (--since)"
    if until and not store.count_chunks(build_filter(until=until)):
        return f"no indexed file was changed before {until} (--until)"
    if any(filter.values()) and not store.count_chunks(build_filter(**filter)):
        given = (f"--{_OPTIONS.get(name, name)}" for name, value in filter.items() if value)
        return f"no indexed file is all that is asked for: {', '.join(given)}"
    return ""
