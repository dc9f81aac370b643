"""The syntax of queries, besides plain words: "phrases", -excluded words, title:words,
field:values.

    "boiling water"   the words must follow one another, in a chunk's text, title or headings;
                      “ ” „ “ « » 「 」 『 』 are quotation marks, too
    -decaf            no such word may be there; -"black tea", -title:draft
    title:handbook    the word must be in the title, the headings above or the file's name

    tag:travel        a field of the index (`where.py`) has this value; author:"Jane Smith",
                      -tag:draft, ext:pdf, path:notes/; with a name that is no field, plain words

All else is plain words, of which any may match. A - inside a word, before another - (an option
such as --dry-run), before a blank or alone, and a quotation mark that is never closed, are plain,
too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
MOST_TERMS = 1024  # different ones of a query, its first


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """plain: its words, without syntax and excluded words. terms, by language variants, prefixes,
    and compounds (terms that follow one another, separated by blanks): what BM25 scores, any of
    them. required and excluded: what must, and must not, be there; demands: those as they were
    typed. conditions: what fields must have. also, synonyms: what it was widened with
    (interpret/synonyms.py), and that with the words it is for. parts, compounded, marks: by
    language the terms of compounds (interpret/parts.py), the words of the query that have some, in
    small letters, and terms of those compounds, to show where they stand."""

    plain: str
    terms: tuple[str, ...]
    variants: dict[str, list[str]]
    prefixes: tuple[str, ...]
    compounds: tuple[str, ...]
    required: tuple[Phrase, ...]
    excluded: tuple[Phrase, ...]
    demands: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()
    also: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    compounded: frozenset[str] = frozenset()
    marks: tuple[str, ...] = ()

    @property
    def for_models(self) -> str:
        """What models are asked."""
        return f"{self.plain} ({', '.join(self.also)})" if self.also else self.plain


def parse(
    query: str,
    languages: Sequence[str] = (),
    *,
    syntax: bool = True,
    fields: Fields | None = None,
) -> ParsedQuery:
    """Take a query apart; without syntax all of it is plain words. languages: those that documents
    are in, beside English. fields: those of the index; without them none is searched for.

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
    """What finds the parts of a query: with the names of those fields that it may ask for."""
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
    """The first different ones, as often as they are there: a query may be a whole document."""
    if len(terms) <= MOST_TERMS:
        return terms
    first = set(list(dict.fromkeys(terms))[:MOST_TERMS])
    return [term for term in terms if term in first]


def _phrase(words: str, languages: Sequence[str], *, title: bool) -> Phrase | None:
    """The phrase of some words, all of them, stop words too; None when there are none."""
    terms, open_end = text.phrase_terms(words)
    if not terms:
        return None
    inflected = dict.fromkeys(text.phrase_terms(words, latin)[0] for latin in languages)
    inflected.pop(terms, None)
    return Phrase(terms, title=title, open_end=open_end, variants=tuple(inflected))
