"""Words of a query that no document has, and the nearest that some have."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from qrank.analysis.spelling import Suggestion, is_one_edit
from qrank.analysis.text import STOP_WORDS, is_unspaced, tokens
from qrank.searching.query import parse
from qrank.searching.where import Fields
from qrank.store.interface import Store

SHORTEST = 4  # letters of a word that is looked at
TWO_EDITS = 6  # letters from which a word may have two wrong
MOST_WORDS = 32  # of a query
MOST_NEAR = 20  # words whose frequency is looked up
COUNTED = 1000  # chunks, up to which a frequency is counted


def suggestions(store: Store, query: str) -> list[Suggestion]:
    """For each word of a query that no document has the nearest one that some document has: by
    edit distance, then by how many chunks have it."""
    if not store.has_vocabulary:
        return []
    languages = store.languages()
    plain = parse(query, fields=Fields(store)).plain
    words = dict.fromkeys(plain[start:end] for start, end, _ in tokens(plain))
    result = []
    for word in list(words)[:MOST_WORDS]:
        small = unicodedata.normalize("NFC", word.lower())
        if len(small) < SHORTEST or not small.isalpha() or is_unspaced(small):
            continue
        if small in STOP_WORDS or store.count_holding(_terms(word, languages), 1):
            continue
        if instead := _nearest(store, small, languages):
            result.append(Suggestion(word, instead))
    return result


def corrected(query: str, suggestions: Sequence[Suggestion]) -> str:
    """A query with what is suggested in place of its words, but for those it excludes.

    Beside words that documents have, only what is surely a typo is replaced: a long word with one
    letter wrong. Others may well be right and mean something to the embedding model.

    >>> corrected("recieve mail -recieve", [Suggestion("recieve", "receive")])
    'receive mail -recieve'
    >>> corrected("brakes that screeches", [Suggestion("screeches", "stretches")])
    'brakes that screeches'
    """
    words = {query[start:end] for start, end, _ in tokens(query)}
    words = {word for word in words if word.lower() not in STOP_WORDS}
    alone = words <= {each.word for each in suggestions}
    for each in suggestions:
        sure = len(each.word) >= TWO_EDITS and is_one_edit(each.word.lower(), each.instead)
        if not (alone or sure):
            continue
        query = re.sub(rf"(?<![\w-]){re.escape(each.word)}(?!\w)", each.instead, query)
    return query


def _nearest(store: Store, word: str, languages: Sequence[str]) -> str:
    near = store.near_words(word, 2 if len(word) >= TWO_EDITS else 1)
    counts = {
        other: store.count_holding(_terms(other, languages), COUNTED)
        for _, other in near[:MOST_NEAR]
    }
    best = max(counts, key=lambda other: counts[other], default="")
    return best if best and counts[best] else ""


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
