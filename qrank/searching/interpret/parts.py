"""Compounds, which German, Dutch and the Nordic languages write as one word.

    Reisekosten            finds Reisekostenabrechnung: a word that begins so
    Reisekostenabrechnung  finds "Abrechnung der Reisekosten": its parts

Both in documents of these languages alone, and by the index's own vocabulary: a part is a word of
it, with a linking s, n, en… between two. A word's beginning counts where most words that begin so
are it and another word; a long one does in any case.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
LINKS = ("", "s", "n", "en", "es", "er", "e", "ns")
SHORTEST, LONGEST = 4, 40  # letters: of a part; of a word that is taken apart
SURE = 8  # letters from which a word is another's beginning by chance so seldom as not to ask
SHARE = 0.6  # of the longer words that begin as a shorter word that have to be its compounds
LOOKED_AT, MOST_WORDS = 2000, 32  # characters from the start of a query, and words in them
MOST_COMPOUNDS = 500  # that are examined for a word
MOST_MARKED = 32  # of them that are shown where they stand
WHOLE = 2  # times as much as a part a whole word counts


def with_parts(
    parsed: ParsedQuery, vocabulary: Vocabulary | None, languages: Sequence[str]
) -> ParsedQuery:
    """A query with the parts of its compounds, and the beginnings of those that its words are in;
    languages: those that documents are in."""
    text = parsed.plain[:LOOKED_AT]
    asked = languages_of(text, [each for each in languages if each in LANGUAGES])
    if vocabulary is None or not asked:
        return parsed
    common = STOP_WORDS.union(*map(frequent_words, asked))
    plain = unicodedata.normalize("NFC", text.lower())
    words = dict.fromkeys(plain[start:end] for start, end, _ in tokens(plain))
    kept = [
        word
        for word in list(words)[:MOST_WORDS]
        if SHORTEST <= len(word) <= LONGEST and word.isalpha() and word not in common
    ]
    longer = {word: vocabulary.beginning(word, MOST_COMPOUNDS) for word in kept}
    pieces = {piece for word in kept for piece in _pieces(word)}
    pieces |= {rest for word in kept for each in longer[word] for rest in _rests(each, word)}
    known = vocabulary.known(sorted(pieces))
    starts = [word for word in kept if _is_part(word, longer[word], known)]
    split_up = {word: found for word in kept if (found := split(word, known))}
    if not starts and not split_up:
        return parsed
    parts = [part for found in split_up.values() for part in found]
    shown = [*parts, *(each for word in starts for each in longer[word][:MOST_MARKED])]
    return replace(
        parsed,
        parts={latin: _terms(starts, parts, latin) for latin in asked},
        compounded=frozenset([*starts, *split_up]),
        marks=tuple(dict.fromkeys(term for word in shown for term in index_terms(word))),
    )


def scored(
    store: Store,
    terms: Sequence[str],
    prefixes: Sequence[str],
    parsed: ParsedQuery,
    limit: int,
    filter: Filter,
) -> list[tuple[int, float]]:
    """The limit best (chunk id, BM25 score) for terms and prefixes, a query's variants and, at a
    lower weight, its parts."""
    if not parsed.parts:
        return store.bm25(terms, limit, filter, prefixes, parsed.variants)
    # A term that is given twice counts twice: what is whole is, and all is halved.
    variants = {latin: [*own] * WHOLE for latin, own in parsed.variants.items()}
    for latin, parts in parsed.parts.items():
        variants.setdefault(latin, []).extend(parts)
    found = store.bm25(
        [*terms] * WHOLE,
        limit,
        replace(filter, required=filter.required * WHOLE),
        [*prefixes] * WHOLE,
        variants,
    )
    return [(chunk, score / WHOLE) for chunk, score in found]


def split(word: str, known: set[str]) -> list[str]:
    """The parts of a compound, each of them known; none of what is no compound.

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
            if last not in known:
                continue
            befores = [before for before in _without_link(word[:at]) if len(before) >= SHORTEST]
            if whole := next((before for before in befores if before in known), ""):
                return (whole, last)
            if several := next((found for before in befores if (found := parts(before))), ()):
                return (*several, last)
        return ()

    return [*parts(word)]


def _without_link(part: str) -> Iterator[str]:
    """A part, as it is and without each letters that may link it to the next."""
    return (part[: len(part) - len(link)] for link in LINKS if part.endswith(link))


def _pieces(word: str) -> Iterator[str]:
    """All that may be a part of a word."""
    for start in range(len(word) - SHORTEST + 1):
        for end in range(start + SHORTEST, len(word) + 1):
            yield word[start:end]


def _rests(compound: str, start: str) -> Iterator[str]:
    """What a compound has after its start and a link."""
    rest = compound[len(start) :]
    for link in LINKS:
        if rest.startswith(link) and len(rest) - len(link) >= SHORTEST:
            yield rest[len(link) :]


def _is_part(word: str, longer: Sequence[str], known: set[str]) -> bool:
    """Whether words that begin as a word are mostly compounds of it."""
    long = [each for each in longer if len(each) - len(word) >= SHORTEST]
    if not long or len(word) >= SURE:
        return bool(long)
    compounds = sum(not known.isdisjoint(_rests(each, word)) for each in long)
    return compounds >= SHARE * len(long)


def _terms(starts: Sequence[str], parts: Sequence[str], latin: str) -> list[str]:
    """What is searched for in a language: see Store.bm25."""
    found = [f"{_beginning(word, latin)}*" for word in starts]
    found += [term for part in parts for term in index_terms(part, latin)]
    return list(dict.fromkeys(found))


def _beginning(word: str, latin: str) -> str:
    """What the terms of a word's compounds begin with: its stem, where that is how it begins.

    >>> _beginning("Dateien", "german"), _beginning("verzekering", "dutch")
    ('datei', 'verzekering')
    """
    [whole, *_] = index_terms(word, latin) or [word]
    folded = fold(word)
    return whole if folded.startswith(whole) else folded
