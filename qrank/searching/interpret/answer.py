"""One answer to one or several queries of a caller."""

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
    """The answer to texts, each asked as query but for its own text; several are fused.

    It has suggestions for words that no document has; with correct, these are searched for
    instead, and the answer's query says so.
    """
    languages = store.languages()
    read = partial(
        meaning, store, languages=languages, syntax=query.syntax, unfinished=query.unfinished
    )
    parsed = {text: read(text) for text in texts}
    by_text: dict[str, list[Suggestion]] = {}
    if not query.unfinished:
        by_text = {text: suggestions(store, parsed[text], languages) for text in texts}
    if correct:
        texts = [corrected(text, by_text.get(text, ())) for text in texts]
        parsed |= {text: read(text) for text in texts if text not in parsed}
    ask = partial(search, store, models, rerank=rerank, progress=progress)
    if len(texts) == 1:
        made = ask(replace(query, text=texts[0]), parsed=parsed[texts[0]])
    else:
        answers = [ask(one_of(query, text, len(texts)), parsed=parsed[text]) for text in texts]
        made = fuse_answers(
            answers,
            limit=query.limit,
            offset=query.offset,
            min_score=query.min_score,
            per_file=query.per_file,
            stale=query.stale,
            copies=query.copies,
            sort=query.sort,
        )
    made.suggestions = list({each: None for own in by_text.values() for each in own})
    return made
