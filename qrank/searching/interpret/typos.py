"""Query words that occur in no document, and the nearest ones that do."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import islice

from qrank.analysis.spelling import Suggestion
from qrank.analysis.text import STOP_WORDS, is_unspaced, tokens
from qrank.searching.query import ParsedQuery
from qrank.store.interface import Store, Vocabulary

SHORTEST = 4  # letters of a word that is examined
TWO_EDITS = 6  # letters from which a word may have two wrong
MOST_WORDS, MOST_TOKENS = 32, 1000  # of a query
MOST_NEAR = 20  # words whose frequency is looked up
COUNTED = 1000  # chunks, up to which a frequency is counted


def suggestions(store: Store, parsed: ParsedQuery, languages: Sequence[str]) -> list[Suggestion]:
    """For each word of a query that no document has the nearest one that some document has: by
    edit distance, then by how many chunks have it. None for a word that compounds begin
    with, or that is made of known words. languages: those that documents are in."""
    vocabulary = store.vocabulary
    if vocabulary is None:
        return []
    plain = parsed.plain
    small: dict[str, str] = {}
    for start, end, _ in islice(tokens(plain), MOST_TOKENS):
        word = unicodedata.normalize("NFC", plain[start:end].lower())
        asked = len(word) >= SHORTEST and word.isalpha() and word not in STOP_WORDS
        if asked and word not in parsed.compounded and not is_unspaced(word):
            small[plain[start:end]] = word
    words = list(small)[:MOST_WORDS]
    held = store.count_holding([_terms(word, languages) for word in words], 1)
    found = []
    for word, count in zip(words, held, strict=True):
        if not count and (near := _nearest(store, vocabulary, small[word], languages)):
            edits, instead = near
            found.append(Suggestion(word, instead, edits))
    return found


def corrected(query: str, suggestions: Sequence[Suggestion]) -> str:
    """A query with the suggestions in place of its words, except those it excludes.

    Beside words that documents have, only what is surely a typo is replaced: a long word with one
    letter wrong. Others may well be right and mean something to the embedding model.

    >>> corrected("recieve mail -recieve", [Suggestion("recieve", "receive", 1)])
    'receive mail -recieve'
    >>> corrected("brakes that screeches", [Suggestion("screeches", "stretches", 2)])
    'brakes that screeches'
    """
    words = {query[start:end] for start, end, _ in tokens(query)}
    words = {word for word in words if word.lower() not in STOP_WORDS}
    alone = words <= {each.word for each in suggestions}
    for each in suggestions:
        sure = len(each.word) >= TWO_EDITS and each.edits == 1
        if not (alone or sure):
            continue
        query = re.sub(rf"(?<![\w-]){re.escape(each.word)}(?!\w)", each.instead, query)
    return query


def _nearest(
    store: Store, vocabulary: Vocabulary, word: str, languages: Sequence[str]
) -> tuple[int, str] | None:
    """The nearest word that some document has, after its distance."""
    near = vocabulary.near(word, 2 if len(word) >= TWO_EDITS else 1)[:MOST_NEAR]
    counts = store.count_holding([_terms(other, languages) for _, other in near], COUNTED)
    most = max(counts, default=0)
    return near[counts.index(most)] if most else None


def _terms(word: str, languages: Sequence[str]) -> list[str]:
    """What a word is indexed as, in English and in other languages."""
    return list(
        {
            term: None
            for latin in ("english", *languages)
            for _, _, own in tokens(word, latin)
            for term in own
        }
    )
