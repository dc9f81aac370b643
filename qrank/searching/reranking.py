"""The reranking stage of a search: which candidates are reranked, and their new scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from qrank.chunk_text import text_for_models
from qrank.inference.cache import relevance
from qrank.results import Answer, RerankScore, StoredChunk
from qrank.searching.fusion import blend
from qrank.searching.time_limit import TimeLimit

if TYPE_CHECKING:
    from qrank.searching.models import Rerank
    from qrank.searching.search import Clock, Query
    from qrank.searching.shown import Candidate
    from qrank.store.cache import Cache


def reranked(
    cache: Cache,
    candidates: list[Candidate],
    query: Query,
    plain: str,
    rerank: Rerank,
    answer: Answer,
    clock: Clock,
    show: Callable[[list[Candidate]], None],
) -> list[Candidate]:
    """Rerank the first query.candidates; returns all candidates, the reranked ones first.

    plain: the query for the model. show is called with the candidates after each batch. With
    query.answer_seconds only as many are reranked as fit into the time, or none if those would be
    too few. Sets reranked, truncated, promised, needed and models["rerank"] of answer.
    """
    head, tail = candidates[: query.candidates], candidates[query.candidates :]
    share = rerank.choice.entry.rerank_weight
    if query.rerank_weight is not None:
        share = query.rerank_weight
    texts = [_model_text(c.chunk) for c in head]
    score_cache = cache if query.cached else None
    use, time_limit = rerank.use, None
    if query.answer_seconds is not None:
        sizes = [len(text.encode("utf-8", "replace")) for text in texts]
        seconds = query.answer_seconds - clock.seconds
        time_limit = TimeLimit(cache, rerank.sha256, seconds, sizes)
        _, from_cache = next(relevance(score_cache, rerank.sha256, plain, texts, use))
        fitting = time_limit.fitting(from_cache)
        if not time_limit.enough(fitting):
            answer.promised, answer.needed = query.answer_seconds, time_limit.needed()
            return candidates
        texts, use = texts[:fitting], partial(time_limit.loading, use)
    # The scores so far are normalized to 0 to 1; only cosines can be negative.
    low = min(0.0, *(c.final for c in head))
    span = max(c.final for c in head) - low or 1.0
    before = [c.final for c in head]
    started = time.monotonic()
    answer.models["rerank"] = rerank.choice.name

    def order() -> list[Candidate]:
        done = [c for c in head if c.scores.rerank]
        answer.reranked = len(done)
        return done + [c for c in head if not c.scores.rerank] + tail

    with closing(relevance(score_cache, rerank.sha256, plain, texts, use)) as batches:
        for cached, scores in batches:
            for i, p_yes in scores.items():
                head[i].final = blend((before[i] - low) / span, p_yes, share)
                head[i].scores.rerank = RerankScore(head[i].final, p_yes, cached)
            clock.progress.advance(len(scores))
            if cached:
                continue
            # Cached scores don't count: at least one batch is always computed.
            if query.budget is not None and time.monotonic() - started >= query.budget:
                break
            if time_limit and not time_limit.after(scores):
                break
            show(order())
    settled = order()
    if time_limit:
        time_limit.keep()
        if answer.reranked < len(head):
            answer.promised, answer.needed = query.answer_seconds, time_limit.needed()
        if not time_limit.enough(answer.reranked):
            return _reset(head, before, answer) + tail
    else:
        answer.truncated = answer.reranked < len(head)
    return settled


def _reset(head: Sequence[Candidate], before: Sequence[float], answer: Answer) -> list[Candidate]:
    """The candidates as before reranking: too few were scored in time."""
    for candidate, final in zip(head, before, strict=True):
        candidate.final, candidate.scores.rerank = final, None
    answer.reranked, answer.models["rerank"] = 0, None
    return list(head)


def _model_text(stored: StoredChunk) -> str:
    heading, text = stored.chunk.heading, stored.chunk.text
    return text_for_models(stored.title, heading, text, stored.location)
