"""Parsing queries: plain words, "phrases", -excluded words, title:words and field:values.

    "boiling water"   the words must occur in this order, in a chunk's text, title or headings;
                      “ ” „ “ « » 「 」 『 』 are quotation marks, too
    -decaf            the word must not occur; also -"black tea", -title:draft
    title:handbook    the word must be in the title, the headings above or the file's name

    tag:travel        a field of the index (`where.py`) has this value; also author:"Jane Smith",
                      -tag:draft, ext:pdf, path:notes/; if there is no such field, plain words

Anything else is plain words, of which any may match: also a - inside a word, before another - (an
option such as --dry-run), before a space or alone, and a quotation mark that is not closed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from qrank.analysis import text
from qrank.store.filters import Condition, Phrase

if TYPE_CHECKING:
    from qrank.searching.where import Fields

_SYNTAX = r"""(?:(?<=\s)|^|(?=[«“„「『]))
    (?P<minus>-(?=[^\s-]))?
    (?P<title>title:(?=\S))?
    (?P<field>(?:NAMES):(?=[^\s:]))?
    (?:(?P<quoted>"[^"]*"|[“„”][^“”]*[“”]|«[^«»]*»|「[^「」]*」|『[^『』]*』)|\S[^\s«“„「『]*)"""
_FLAGS = re.VERBOSE | re.IGNORECASE
_PART = re.compile(_SYNTAX.replace("NAMES", "(?!)"), _FLAGS)
_NAME = re.compile(r"(?:(?<=\s)|^)-?([^\W\d_][\w.-]{0,60}):(?=[^\s:])")
MOST_TERMS = 1024  # different terms of a query; the first ones are used


class ParsedQuery(NamedTuple):
    """A parsed query. BM25 scores chunks with any of terms, variants, prefixes, compounds, parts;
    they must also match required and conditions, and not match excluded."""

    plain: str  # its words, without syntax and excluded words
    terms: tuple[str, ...]  # as English
    variants: dict[str, list[str]]  # terms by other languages, where they differ
    prefixes: tuple[str, ...]
    compounds: tuple[str, ...]  # several terms in this order, separated by spaces
    required: tuple[Phrase, ...]
    excluded: tuple[Phrase, ...]
    demands: tuple[str, ...]  # required, excluded and conditions as they were typed
    conditions: tuple[Condition, ...] = ()  # on fields
    also: tuple[str, ...] = ()  # the synonyms that were added (interpret/synonyms.py)
    synonyms: tuple[str, ...] = ()  # those as "word = synonym", for people
    parts: Mapping[str, Sequence[str]] = MappingProxyType({})
    """By language, the terms of parts of compounds, and prefixes of compounds
    (interpret/parts.py)."""
    compounded: frozenset[str] = frozenset()  # query words with such parts or prefixes, lowercase
    marks: tuple[str, ...] = ()  # terms of these compounds and parts, to highlight them

    @property
    def for_models(self) -> str:
        """The text that is embedded, and given to the reranker."""
        return f"{self.plain} ({', '.join(self.also)})" if self.also else self.plain


def parse(
    query: str,
    languages: Sequence[str] = (),
    *,
    syntax: bool = True,
    fields: Fields | None = None,
) -> ParsedQuery:
    """Parse a query; with syntax=False all of it is plain words.

    languages: those of the index's documents, besides English. fields: those of the index; without
    them, field:value is plain words.

    >>> parse('green tea -"black tea" title:menu').plain
    'green tea menu'
    >>> parse('green tea -"black tea" title:menu').excluded
    (Phrase(terms=('black', 'tea'), title=False, own=False, open_end=False, variants=()),)
    """
    plain: list[str] = []
    required: list[Phrase] = []
    excluded: list[Phrase] = []
    demands: list[str] = []
    conditions: list[Condition] = []
    at = 0
    for part in _parts(query, fields).finditer(query) if syntax else ():
        quoted = part["quoted"]
        if fields and part["field"]:
            before = len(part["minus"] or "") + len(part["field"])
            value = quoted[1:-1] if quoted else part[0][before:]
            name = part["field"][:-1]
            if condition := fields.from_query(name, value, negated=bool(part["minus"])):
                plain.append(query[at : part.start()])
                at = part.end()
                conditions.append(condition)
                demands.append(part[0])
                continue
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
        plain=" ".join(words.split()) if required or excluded or conditions else query,
        terms=tuple(term for term in terms if term not in prefixes),
        variants=variants,
        prefixes=prefixes,
        compounds=tuple(compounds),
        required=tuple(dict.fromkeys(required)),
        excluded=tuple(dict.fromkeys(excluded)),
        demands=tuple(demands),
        conditions=tuple(conditions),
    )


def _parts(query: str, fields: Fields | None) -> re.Pattern[str]:
    """The pattern that finds the parts of a query, with the field names that occur in it."""
    if fields is None or ":" not in query:
        return _PART
    names = {match[1].casefold() for match in _NAME.finditer(query)} - {"title"}
    fields_used = [re.escape(name) for name in sorted(names) if name in fields]
    return (
        re.compile(_SYNTAX.replace("NAMES", "|".join(fields_used)), _FLAGS)
        if fields_used
        else _PART
    )


def _first(terms: list[str]) -> list[str]:
    """The terms limited to the first MOST_TERMS different ones: a query may be a whole document."""
    if len(terms) <= MOST_TERMS:
        return terms
    first = set(list(dict.fromkeys(terms))[:MOST_TERMS])
    return [term for term in terms if term in first]


def _phrase(words: str, languages: Sequence[str], *, title: bool) -> Phrase | None:
    """The phrase of some words, stop words included; None when there are no words."""
    terms, open_end = text.phrase_terms(words)
    if not terms:
        return None
    inflected = dict.fromkeys(text.phrase_terms(words, latin)[0] for latin in languages)
    inflected.pop(terms, None)
    return Phrase(terms, title=title, open_end=open_end, variants=tuple(inflected))
