"""What a query says beside its words: "phrases", -excluded words, title:words.

    "boiling water"   the words must follow one another, in a chunk's text, title or headings;
                      “ ” „ “ « » 「 」 『 』 are quotation marks, too
    -decaf            no such word may be there; -"black tea", -title:draft
    title:handbook    the word must be in the title, the headings above or the file's name

All else is plain words, of which any may match. A - inside a word, before another - (an option
such as --dry-run), before a blank or alone, and a quotation mark that is never closed, are plain,
too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from qrank.analysis import text
from qrank.store.filters import Phrase

_PART = re.compile(
    r"""(?:(?<=\s)|^|(?=[«“„「『]))
    (?P<minus>-(?=[^\s-]))?
    (?P<title>title:(?=\S))?
    (?:(?P<quoted>"[^"]*"|[“„”][^“”]*[“”]|«[^«»]*»|「[^「」]*」|『[^『』]*』)|\S[^\s«“„「『]*)""",
    re.VERBOSE | re.IGNORECASE,
)
MOST_TERMS = 1024  # different ones of a query, its first


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """plain: what models are asked, without syntax and excluded words. terms, by language
    variants, prefixes, and compounds (terms that follow one another, separated by blanks): what
    BM25 scores, any of them. required and excluded: what must, and must not, be there; demands:
    those as they were typed."""

    plain: str
    terms: tuple[str, ...]
    variants: dict[str, list[str]]
    prefixes: tuple[str, ...]
    compounds: tuple[str, ...]
    required: tuple[Phrase, ...]
    excluded: tuple[Phrase, ...]
    demands: tuple[str, ...]


def parse(query: str, languages: Sequence[str] = (), *, syntax: bool = True) -> ParsedQuery:
    """Take a query apart; without syntax all of it is plain words. languages: those that documents
    are in, beside English.

    >>> parse('green tea -"black tea" title:menu').plain
    'green tea menu'
    >>> parse('green tea -"black tea" title:menu').excluded
    (Phrase(terms=('black', 'tea'), title=False, own=False, open_end=False, variants=()),)
    """
    plain: list[str] = []
    required: list[Phrase] = []
    excluded: list[Phrase] = []
    demands: list[str] = []
    at = 0
    for part in _PART.finditer(query) if syntax else ():
        quoted = part["quoted"]
        words = quoted[1:-1] if quoted else part[0].removeprefix(part["minus"] or "")
        words = words if quoted else words.removeprefix(part["title"] or "")
        plain.append(query[at : part.start()])
        at = part.end()
        if not part["minus"]:
            plain.append(f" {words} " if quoted else words)
        is_phrase = bool(part["minus"] or part["title"] or quoted)
        phrase = _phrase(words, languages, title=bool(part["title"])) if is_phrase else None
        if phrase:
            (excluded if part["minus"] else required).append(phrase)
            demands.append(part[0])
    words = "".join([*plain, query[at:]])
    terms = _first(text.query_terms(words))
    variants = {of: _first(own) for of, own in text.variants(words, languages).items()}
    compounds = [" ".join(compound) for compound in text.compounds(words)]
    for latin, own in variants.items():
        others = (" ".join(compound) for compound in text.compounds(words, latin))
        own += [compound for compound in others if compound not in compounds]
    prefixes = tuple(term for term in terms if len(term) == 1 and text.is_unspaced(term))
    return ParsedQuery(
        plain=" ".join(words.split()) if required or excluded else query,
        terms=tuple(term for term in terms if term not in prefixes),
        variants=variants,
        prefixes=prefixes,
        compounds=tuple(compounds),
        required=tuple(dict.fromkeys(required)),
        excluded=tuple(dict.fromkeys(excluded)),
        demands=tuple(demands),
    )


def _first(terms: list[str]) -> list[str]:
    """The first different ones, as often as they are there: a query may be a whole document."""
    if len(terms) <= MOST_TERMS:
        return terms
    kept = set(list(dict.fromkeys(terms))[:MOST_TERMS])
    return [term for term in terms if term in kept]


def _phrase(words: str, languages: Sequence[str], *, title: bool) -> Phrase | None:
    """The phrase of some words, all of them, stop words too; None when there are none."""
    terms, open_end = text.phrase_terms(words)
    if not terms:
        return None
    inflected = dict.fromkeys(text.phrase_terms(words, latin)[0] for latin in languages)
    inflected.pop(terms, None)
    return Phrase(terms, title=title, open_end=open_end, variants=tuple(inflected))
