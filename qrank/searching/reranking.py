"""The reranker's part of a search: which candidates it reads, and their scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from qrank.chunk_text import model_text
from qrank.inference.cache import relevance
from qrank.markup import readable
from qrank.results import Answer, RerankScore, StoredChunk
from qrank.searching.fusion import blend
from qrank.searching.promise import Promise

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
    """The candidates with the reranked ones, answer.reranked many, before the others.

    show is given them after each batch. With answer_seconds only as many are read as fit into
    them, and none where those are too few to be worth it: answer.promised tells of it.
    """
    head, tail = candidates[: query.candidates], candidates[query.candidates :]
    share = rerank.choice.entry.rerank_weight
    if query.rerank_weight is not None:
        share = query.rerank_weight
    texts = [_model_text(c.chunk) for c in head]
    score_cache = cache if query.cached else None
    use, promise = rerank.use, None
    if query.answer_seconds is not None:
        sizes = [len(text.encode("utf-8", "replace")) for text in texts]
        seconds = query.answer_seconds - clock.seconds
        promise = Promise(cache, rerank.sha256, seconds, sizes)
        _, from_cache = next(relevance(score_cache, rerank.sha256, plain, texts, use))
        fitting = promise.fitting(from_cache)
        if not promise.enough(fitting):
            answer.promised, answer.needed = query.answer_seconds, promise.needed()
            return candidates
        texts, use = texts[:fitting], partial(promise.loading, use)
    # The order so far as a score from 0 to 1; only cosines can be below 0.
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
            # What was cached took no time: one batch at least is always computed.
            if query.budget is not None and time.monotonic() - started >= query.budget:
                break
            if promise and not promise.after(scores):
                break
            show(order())
    settled = order()
    if promise:
        promise.keep()
        if answer.reranked < len(head):
            answer.promised, answer.needed = query.answer_seconds, promise.needed()
        if not promise.enough(answer.reranked):
            return _unread(head, before, answer) + tail
    else:
        answer.truncated = answer.reranked < len(head)
    return settled


def _unread(head: Sequence[Candidate], before: Sequence[float], answer: Answer) -> list[Candidate]:
    """The candidates as they were: too few were read to say anything of the others."""
    for candidate, final in zip(head, before, strict=True):
        candidate.final, candidate.scores.rerank = final, None
    answer.reranked, answer.models["rerank"] = 0, None
    return list(head)


def _model_text(stored: StoredChunk) -> str:
    text = readable(stored.chunk.text, stored.location)
    return model_text(stored.title, stored.chunk.heading, text)
