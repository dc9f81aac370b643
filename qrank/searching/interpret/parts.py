"""Compound words, which German, Dutch and the Nordic languages write without a space.

    Reisekosten            also finds Reisekostenabrechnung, a compound that begins with it
    Reisekostenabrechnung  also finds "Abrechnung der Reisekosten", its parts

Only documents in these languages are searched this way. A part has to be a word of the index's
vocabulary; between two parts there may be linking letters (s, n, en…). A short query word is
searched for as a prefix only if most longer words with that prefix are compounds of it; a long
query word always is.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from qrank.analysis.characters import fold
from qrank.analysis.language import frequent_words
from qrank.analysis.text import STOP_WORDS, index_terms, languages_of, tokens
from qrank.searching.query import ParsedQuery
from qrank.store.filters import Filter

if TYPE_CHECKING:
    from qrank.store.interface import Store, Vocabulary

LANGUAGES = frozenset({"danish", "dutch", "german", "norwegian", "swedish"})
LINKS = ("", "s", "n", "en", "es", "er", "e", "ns")  # linking letters between two parts
SHORTEST = 4  # letters of a part, at least
LONGEST = 40  # letters of a word that is split, at most
# A word of so many letters is always searched for as a prefix: that a longer word begins with it
# by chance is rare.
LONG_PREFIX = 8
SHARE = 0.6  # of the longer words with a short word as prefix, that have to be compounds of it
MOST_CHARACTERS, MOST_WORDS = 2000, 32  # of a query that are examined
MOST_COMPOUNDS = 500  # examined per query word
MOST_MARKED = 32  # compounds per query word that are highlighted in results
WHOLE = 2  # weight of a whole word relative to a part of one


def add_compounds(
    parsed: ParsedQuery, vocabulary: Vocabulary | None, languages: Sequence[str]
) -> ParsedQuery:
    """Add to a query the parts of its compounds, and the prefixes of compounds that begin with
    its words. languages: those of the index's documents. Without a vocabulary, or when no
    language of the query forms compounds, the query is returned unchanged."""
    text = parsed.plain[:MOST_CHARACTERS]
    query_languages = languages_of(text, [each for each in languages if each in LANGUAGES])
    if vocabulary is None or not query_languages:
        return parsed
    common = STOP_WORDS.union(*map(frequent_words, query_languages))
    plain = unicodedata.normalize("NFC", text.lower())
    unique = dict.fromkeys(plain[start:end] for start, end, _ in tokens(plain))
    words = [
        word
        for word in list(unique)[:MOST_WORDS]
        if SHORTEST <= len(word) <= LONGEST and word.isalpha() and word not in common
    ]
    longer = {word: vocabulary.with_prefix(word, MOST_COMPOUNDS) for word in words}
    substrings = {piece for word in words for piece in _substrings(word)}
    substrings |= {rest for word in words for each in longer[word] for rest in _rests(each, word)}
    word_list = vocabulary.intersection(sorted(substrings))
    prefixes = [word for word in words if _begins_compounds(word, longer[word], word_list)]
    compounds = {word: parts for word in words if (parts := split(word, word_list))}
    if not prefixes and not compounds:
        return parsed
    parts = [part for word_parts in compounds.values() for part in word_parts]
    marked = [*parts, *(each for word in prefixes for each in longer[word][:MOST_MARKED])]
    return parsed._replace(
        parts={latin: _terms(prefixes, parts, latin) for latin in query_languages},
        compounded=frozenset([*prefixes, *compounds]),
        marks=tuple(dict.fromkeys(term for word in marked for term in index_terms(word))),
    )


def scored(
    store: Store,
    terms: Sequence[str],
    prefixes: Sequence[str],
    parsed: ParsedQuery,
    limit: int,
    filter: Filter,
) -> list[tuple[int, float]]:
    """The limit best (chunk id, BM25 score), best first, for terms, prefixes and the query's
    language variants, and at a lower weight for the parts of its compounds."""
    if not parsed.parts:
        return store.bm25(terms, limit, filter, prefixes, parsed.variants)
    # BM25 counts a repeated term repeatedly: whole terms are repeated, then all scores divided.
    variants = {latin: [*own] * WHOLE for latin, own in parsed.variants.items()}
    for latin, parts in parsed.parts.items():
        variants.setdefault(latin, []).extend(parts)
    scores = store.bm25(
        [*terms] * WHOLE,
        limit,
        filter._replace(required=filter.required * WHOLE),
        [*prefixes] * WHOLE,
        variants,
    )
    return [(chunk, score / WHOLE) for chunk, score in scores]


def split(word: str, word_list: set[str]) -> list[str]:
    """Split a compound into parts that are all in word_list; [] when word is no compound.

    >>> split("reisekostenabrechnung", {"reisekosten", "reise", "kosten", "abrechnung"})
    ['reisekosten', 'abrechnung']
    >>> split("zahlungseingangsliste", {"zahlung", "eingang", "liste"})
    ['zahlung', 'eingang', 'liste']
    >>> split("therapist", {"rapist", "the"})
    []
    """

    @cache
    def parts(word: str) -> tuple[str, ...]:
        for at in range(len(word) - SHORTEST, SHORTEST - 1, -1):
            last = word[at:]
            if last not in word_list:
                continue
            fronts = [front for front in _without_link(word[:at]) if len(front) >= SHORTEST]
            if whole := next((front for front in fronts if front in word_list), ""):
                return (whole, last)
            if front_parts := next((some for front in fronts if (some := parts(front))), ()):
                return (*front_parts, last)
        return ()

    return [*parts(word)]


def _without_link(part: str) -> Iterator[str]:
    """A part as it is, and without each of the linking letters that it may end with."""
    return (part[: len(part) - len(link)] for link in LINKS if part.endswith(link))


def _substrings(word: str) -> Iterator[str]:
    """The substrings of a word that are long enough to be a part of it."""
    for start in range(len(word) - SHORTEST + 1):
        for end in range(start + SHORTEST, len(word) + 1):
            yield word[start:end]


def _rests(compound: str, start: str) -> Iterator[str]:
    """What may follow a compound's first part: without each of the linking letters."""
    rest = compound[len(start) :]
    for link in LINKS:
        if rest.startswith(link) and len(rest) - len(link) >= SHORTEST:
            yield rest[len(link) :]


def _begins_compounds(word: str, longer: Sequence[str], word_list: set[str]) -> bool:
    """Whether most of the longer words that begin with word are compounds of it."""
    candidates = [each for each in longer if len(each) - len(word) >= SHORTEST]
    if not candidates or len(word) >= LONG_PREFIX:
        return bool(candidates)
    compounds = sum(not word_list.isdisjoint(_rests(each, word)) for each in candidates)
    return compounds >= SHARE * len(candidates)


def _terms(prefixes: Sequence[str], parts: Sequence[str], latin: str) -> list[str]:
    """The terms to search for in one language; a trailing * marks a prefix (see Store.bm25)."""
    terms = [f"{_prefix(word, latin)}*" for word in prefixes]
    terms += [term for part in parts for term in index_terms(part, latin)]
    return list(dict.fromkeys(terms))


def _prefix(word: str, latin: str) -> str:
    """The prefix of the indexed terms of word's compounds: its stem if word begins with it, else
    word itself.

    >>> _prefix("Dateien", "german"), _prefix("verzekering", "dutch")
    ('datei', 'verzekering')
    """
    [stem, *_] = index_terms(word, latin) or [word]
    folded = fold(word)
    return stem if folded.startswith(stem) else folded
