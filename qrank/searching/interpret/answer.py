"""Answering one query, or several whose answers are fused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from qrank.results import Answer
from qrank.searching.interpret.meaning import meaning
from qrank.searching.interpret.typos import corrected, suggestions
from qrank.searching.multi_query import fuse_answers, one_of
from qrank.searching.search import Query, search

if TYPE_CHECKING:
    from qrank.analysis.spelling import Suggestion
    from qrank.progress import Progress
    from qrank.searching.models import SearchModels
    from qrank.store.interface import Store


def answer(
    store: Store,
    models: SearchModels,
    query: Query,
    texts: Sequence[str],
    *,
    rerank: bool,
    correct: bool = False,
    progress: Progress | None = None,
) -> Answer:
    """Search for each of texts with query's options; the answers to several are fused.

    The answer has suggestions for words that occur in no document. With correct, the suggestions
    are searched for instead, and the answer's query has them. Raises what `search` raises.
    """
    languages = store.languages()
    parse = partial(
        meaning, store, languages=languages, syntax=query.syntax, unfinished=query.unfinished
    )
    parsed = {text: parse(text) for text in texts}
    by_text: dict[str, list[Suggestion]] = {}
    if not query.unfinished:
        by_text = {text: suggestions(store, parsed[text], languages) for text in texts}
    if correct:
        texts = [corrected(text, by_text.get(text, ())) for text in texts]
        parsed |= {text: parse(text) for text in texts if text not in parsed}
    search_for = partial(search, store, models, rerank=rerank, progress=progress)
    if len(texts) == 1:
        result = search_for(replace(query, text=texts[0]), parsed=parsed[texts[0]])
    else:
        answers = [
            search_for(one_of(query, text, len(texts)), parsed=parsed[text]) for text in texts
        ]
        result = fuse_answers(answers, query)
    result.suggestions = list({each: None for own in by_text.values() for each in own})
    return result
