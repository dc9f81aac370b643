"""Spelling suggestions for query words that occur in no document: the most similar ones that do."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import islice

from qrank.analysis.spelling import Suggestion
from qrank.analysis.text import STOP_WORDS, is_unspaced, tokens
from qrank.searching.query import ParsedQuery
from qrank.store.interface import Store, Vocabulary

SHORTEST = 4  # letters of a word that is corrected, at least
TWO_EDITS = 6  # letters from which a word may be two edits away, not one
MOST_WORDS, MOST_TOKENS = 32, 1000  # of a query that are examined
MOST_NEAR = 20  # similar words whose frequency is looked up
MOST_COUNTED = 1000  # chunks: a higher frequency counts as this one


def suggestions(store: Store, parsed: ParsedQuery, languages: Sequence[str]) -> list[Suggestion]:
    """Suggest, for each query word that occurs in no document, the most similar word that does:
    by edit distance, then by how many chunks contain it. Compounds of indexed words and words that
    compounds begin with get none. languages: those of the index's documents."""
    vocabulary = store.vocabulary
    if vocabulary is None:
        return []
    plain = parsed.plain
    lowercase: dict[str, str] = {}  # by the word as typed
    for start, end, _ in islice(tokens(plain), MOST_TOKENS):
        word = unicodedata.normalize("NFC", plain[start:end].lower())
        is_word = len(word) >= SHORTEST and word.isalpha() and word not in STOP_WORDS
        if is_word and word not in parsed.compounded and not is_unspaced(word):
            lowercase[plain[start:end]] = word
    words = list(lowercase)[:MOST_WORDS]
    counts = store.count_holding([_terms(word, languages) for word in words], 1)
    result = []
    for word, count in zip(words, counts, strict=True):
        if not count and (near := _nearest(store, vocabulary, lowercase[word], languages)):
            edits, instead = near
            result.append(Suggestion(word, instead, edits))
    return result


def corrected(query: str, suggestions: Sequence[Suggestion]) -> str:
    """Replace the words of a query by their suggestions, except words that it excludes.

    If other words of the query do occur in documents, only clear typos are replaced: long words
    that are one edit away. Any other word may be right and mean something to the embedder.

    >>> corrected("recieve mail -recieve", [Suggestion("recieve", "receive", 1)])
    'receive mail -recieve'
    >>> corrected("brakes that screeches", [Suggestion("screeches", "stretches", 2)])
    'brakes that screeches'
    """
    words = {query[start:end] for start, end, _ in tokens(query)}
    words = {word for word in words if word.lower() not in STOP_WORDS}
    alone = words <= {each.word for each in suggestions}
    for each in suggestions:
        clear_typo = len(each.word) >= TWO_EDITS and each.edits == 1
        if not (alone or clear_typo):
            continue
        query = re.sub(rf"(?<![\w-]){re.escape(each.word)}(?!\w)", each.instead, query)
    return query


def _nearest(
    store: Store, vocabulary: Vocabulary, word: str, languages: Sequence[str]
) -> tuple[int, str] | None:
    """The most similar indexed word, as (edit distance, word); None when there is none."""
    near = vocabulary.near(word, 2 if len(word) >= TWO_EDITS else 1)[:MOST_NEAR]
    counts = store.count_holding([_terms(other, languages) for _, other in near], MOST_COUNTED)
    most = max(counts, default=0)
    return near[counts.index(most)] if most else None


def _terms(word: str, languages: Sequence[str]) -> list[str]:
    """The terms a word is indexed as, in English and in the other languages."""
    return list(
        {
            term: None
            for latin in ("english", *languages)
            for _, _, own in tokens(word, latin)
            for term in own
        }
    )
