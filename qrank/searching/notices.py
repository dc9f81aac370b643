"""Why a search found nothing, or only weak results, in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeGuard

from qrank.analysis.text import STOP_WORDS, tokens
from qrank.arguments import FilterOptions, text_list
from qrank.errors import suggestion
from qrank.markup.visible import searchable
from qrank.results import Answer, Mode, RerankScore
from qrank.searching.build_filter import build_filter
from qrank.searching.explain import bm25_terms
from qrank.searching.file_types import formats
from qrank.searching.query import parse
from qrank.searching.where import Fields

if TYPE_CHECKING:
    from qrank.models.registry import Registry
    from qrank.store.interface import Store

FEW = 1 / 3  # of a query's words: an irrelevant result has no more of them
WEAK = 0.1  # P(yes) of the best result, below which results are called weak
DOUBTFUL = 0.3  # calibrated score of the best result, below which results are called weak
_OPTIONS = {
    "collections": "collection",
    "types": "type",
    "links_to": "links-to",
    "linked_from": "linked-from",
}


def notices(
    store: Store,
    answer: Answer,
    filter: FilterOptions,
    min_score: float | None,
    *,
    of_query: bool = True,
    texts: Sequence[str] = (),
    offset: int = 0,
) -> list[str]:
    """What a user should know about an answer: why it is empty or weak; [] for a good one.

    filter, min_score, offset: the options of the search. texts: the --literal and --regex texts
    that results had to match. of_query: False for `qrank similar`, which has no query.
    """
    missing = _missing_vectors(store, answer)
    excluded = [_exclusion(answer.query)] if of_query and not answer.parts else []
    if answer.results:
        result = [missing or _why_weak(store, answer), *excluded]
    else:
        why = _after(answer, offset) or _why_nothing(
            store, answer, filter, min_score, texts, of_query=of_query
        )
        result = [why, missing, *excluded]
    return [notice for notice in result if notice]


def _after(answer: Answer, offset: int) -> str:
    """The notice for an --offset beyond the last result."""
    if not offset or not answer.candidates:
        return ""
    few = f": there are {answer.candidates}" if answer.candidates <= offset else ""
    return f"no result comes after the first {offset}{few} (--offset)"


def _exclusion(query: str) -> str:
    """The notice that a word after a dash, maybe an option of a pasted command, is excluded."""
    words = [typed for typed in parse(query).demands if typed[0] == "-" and typed[1:].isalnum()]
    if not words:
        return ""
    without = ", ".join(word[1:] for word in words)
    return f'results with {without} are excluded (to search for {words[0]}, write "{words[0]}")'


def _why_weak(store: Store, answer: Answer) -> str:
    common = bool(answer.terms) and set(answer.terms) <= STOP_WORDS
    if common and answer.mode != Mode.vector:
        return "all words of the query are very common; add a more specific one"
    if answer.mode == Mode.hybrid and not store.models():
        return "searched by keywords only: the index has no vectors (run qrank index)"
    best = answer.results[0].scores.rerank
    if _decides(best) and best.p_yes < WEAK:
        return f"weak results: the reranker scores even the best one {best.p_yes:.2f} of 1"
    return _doubt(answer)


def _doubt(answer: Answer) -> str:
    """The notice that calibrated scores are low."""
    best = answer.results[0].score
    if not answer.results[0].calibrated or best >= DOUBTFUL:
        return ""
    if answer.terms and not any(result.scores.bm25 for result in answer.results):
        return "weak results: no result contains a word of the query; these are nearest by meaning"
    return f"weak results: even the best one is probably not relevant (score {best:.2f})"


def far_off(store: Store, registry: Callable[[], Registry], answer: Answer) -> str:
    """The notice for results that share few words with the query and whose cosines are below the
    embedder's threshold for unrelated texts. It is a guess, so it is only shown to people, who can
    judge by the results; it is not in JSON."""
    name = answer.models["embed"]
    if not name or not answer.results:
        return ""
    if answer.mode == Mode.hybrid and not any(r.scores.bm25 for r in answer.results):
        no_word = (
            "no result contains a word of the query"
            if answer.terms
            else "the query contains no words"
        )
        return f"{no_word}; these are the nearest by meaning"
    if not answer.terms or answer.parts or _decides(answer.results[0].scores.rerank):
        return ""
    from qrank.models.registry import Role

    unrelated = registry().resolve(Role.embedder, name).entry.unrelated
    cosines = [result.scores.vector.score for result in answer.results if result.scores.vector]
    if unrelated is None or max(cosines, default=0.0) >= unrelated:
        return ""
    terms = set(answer.terms)
    most = max(len(terms & shares.keys()) for shares in bm25_terms(store, answer).values())
    if most > FEW * len(terms):
        return ""
    return "probably not relevant: no result shares many words or much meaning with the query"


def _missing_vectors(store: Store, answer: Answer) -> str:
    """The notice that some chunks have no vector, because embedding was interrupted."""
    models = store.models()
    if answer.mode == Mode.bm25 or not models:
        return ""
    missing, texts = store.count_missing(models[0].id)
    if not missing:
        return ""
    return f"{missing} of {texts} chunks have no vector yet (run qrank index)"


def _decides(score: RerankScore | None) -> TypeGuard[RerankScore]:
    """Whether a result's score is the reranker's P(yes) alone, not mixed with the fused score."""
    return score is not None and score.p_yes == score.score


def _why_nothing(
    store: Store,
    answer: Answer,
    filter: FilterOptions,
    min_score: float | None,
    texts: Sequence[str],
    *,
    of_query: bool,
) -> str:
    status = store.status()
    if not status["chunks"]:
        return "the index is empty; add files with: qrank index PATH"
    if why := _no_file(store, status, filter):
        return why
    if min_score is not None and answer.candidates:
        return f"no result has a score of {min_score:g} or more (--min-score)"
    if answer.candidates:  # they were all dropped by --stale
        return "all results are in files that changed since indexing (--stale drop)"
    if not of_query:
        return "nothing found: the index has no other chunk to compare"
    if not answer.query.strip():
        return f"nothing in the index matches{' ' * bool(texts)}{' and '.join(texts)}"
    if texts and (answer.mode != Mode.bm25 or any(store.count_holding([answer.terms], 1))):
        return f"nothing that was found matches {' and '.join(texts)}"
    demands = () if answer.parts else parse(answer.query, fields=Fields(store)).demands
    if demands and (answer.mode != Mode.bm25 or any(demand[0] != "-" for demand in demands)):
        return f"nothing matches all of: {', '.join(demands)}"
    if not answer.terms:
        return "nothing found: the query contains no words"
    words = ", ".join(_words(answer)[:8])
    if answer.mode == Mode.bm25 and store.models():
        return (
            f"nothing found with any of: {words} (to find by meaning, too, leave out --mode bm25)"
        )
    if not store.models():
        return f"nothing found with any of: {words} (run qrank index to find by meaning, too)"
    return "nothing found"


def _words(answer: Answer) -> list[str]:
    """The words that were searched for, as typed."""
    query = searchable(parse(answer.query).plain)
    terms = set(answer.terms)
    typed = (query[start:end] for start, end, own in tokens(query) if terms.intersection(own))
    return list(dict.fromkeys(typed))


def _no_file(store: Store, status: Mapping[str, Any], filter: FilterOptions) -> str:
    """The notice for the option that no indexed file matches; "" when some file does."""
    collections = text_list("collections", filter.get("collections", ()))
    path, types = filter.get("path"), text_list("types", filter.get("types", ()))
    since, until = filter.get("since"), filter.get("until")
    names = [collection["name"] for collection in status["collections"]]
    if unknown := [name for name in collections if name not in names]:
        return f"there is no collection {unknown[0]}; {suggestion(unknown[0], names)}"
    if path and not store.count_chunks(build_filter(path=path)):
        named = path if isinstance(path, str) else " or ".join(path)
        return f"no indexed file matches --path {named}"
    if types and not store.count_chunks(build_filter(types=types)):
        every = f"--type takes {', '.join(sorted(formats()))}, and suffixes"
        hint = suggestion(types[0], formats(), every) if types[0] not in formats() else every
        return f"no indexed file is of type {' or '.join(types)}; {hint}"
    if since and not store.count_chunks(build_filter(since=since)):
        return f"no indexed file is dated {_shown(since)} or later (--since)"
    if until and not store.count_chunks(build_filter(until=until)):
        return f"no indexed file is dated before {_shown(until)} (--until)"
    where = text_list("where", filter.get("where", ()))
    for condition in where:
        if not store.count_chunks(build_filter(where=condition, store=store)):
            some = Fields(store).examples(condition)
            return f"nothing indexed has --where {condition!r}{some}"
    links_to, linked_from = filter.get("links_to"), filter.get("linked_from")
    if links_to and not store.count_chunks(build_filter(links_to=links_to, store=store)):
        return f"no indexed file links to {links_to} (qrank links {links_to})"
    if linked_from and not store.count_chunks(build_filter(linked_from=linked_from, store=store)):
        return f"{linked_from} links to no indexed file (qrank links {linked_from})"
    if any(filter.values()) and not store.count_chunks(build_filter(**filter, store=store)):
        options = [f"--{_OPTIONS.get(name, name)}" for name, value in filter.items() if value]
        return f"no indexed file matches {', '.join(options[:-1])} and {options[-1]}"
    return ""


def _shown(moment: datetime) -> str:
    """A time as text; only the day when it is midnight."""
    return moment.isoformat(" ").removesuffix(" 00:00:00")
