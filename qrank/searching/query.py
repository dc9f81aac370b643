"""What a query says beside its words: "phrases", -leftout words, title:words.

    "boiling water"   the words must follow one another, in a passage's text, title or headings
    -decaf            no such word may be there; -"black tea", -title:draft
    title:handbook    the word must be in the title, the headings above or the file's name

All else is plain words, of which any may match. A - inside a word, before a blank or alone, and a
quotation mark that is never closed, are plain, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from qrank.analysis import text
from qrank.store.filters import Phrase

_PART = re.compile(
    r"""(?:(?<=\s)|^)
    (?P<minus>-(?=[^\s-]))?
    (?P<title>title:(?=\S))?
    (?:"(?P<phrase>[^"]*)"|(?P<word>\S+))""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """plain: what models are asked, without syntax and what is left out. terms, by language
    variants, and prefixes: what BM25 scores, any of them; required and excluded: what must, and
    must not, be there; demands: those as they were typed."""

    plain: str
    terms: tuple[str, ...]
    variants: dict[str, list[str]]
    prefixes: tuple[str, ...]
    required: tuple[Phrase, ...]
    excluded: tuple[Phrase, ...]
    demands: tuple[str, ...]


def parse(query: str, languages: Sequence[str] = (), *, syntax: bool = True) -> ParsedQuery:
    """Take a query apart; without syntax all of it is plain words. languages: those that documents
    are in, beside English.

    >>> parse('green tea -"black tea" title:menu').plain
    'green tea menu'
    >>> parse('green tea -"black tea" title:menu').excluded
    (Phrase(terms=('black', 'tea'), title=False, open_end=False, variants=()),)
    """
    plain: list[str] = []
    required: list[Phrase] = []
    excluded: list[Phrase] = []
    demands: list[str] = []
    at = 0
    for part in _PART.finditer(query) if syntax else ():
        said = part["phrase"] if part["phrase"] is not None else part["word"]
        plain.append(query[at : part.start()])
        at = part.end()
        if not part["minus"]:
            plain.append(said)
        is_phrase = bool(part["minus"] or part["title"] or part["phrase"] is not None)
        phrase = _phrase(said, languages, title=bool(part["title"])) if is_phrase else None
        if phrase:
            (excluded if part["minus"] else required).append(phrase)
            demands.append(part[0])
    words = "".join([*plain, query[at:]])
    terms = text.query_terms(words)
    prefixes = tuple(term for term in terms if len(term) == 1 and text.is_unspaced(term))
    return ParsedQuery(
        plain=" ".join(words.split()) if required or excluded else query,
        terms=tuple(term for term in terms if term not in prefixes),
        variants=text.variants(words, languages),
        prefixes=prefixes,
        required=tuple(dict.fromkeys(required)),
        excluded=tuple(dict.fromkeys(excluded)),
        demands=tuple(demands),
    )


def _phrase(said: str, languages: Sequence[str], *, title: bool) -> Phrase | None:
    """The phrase of some words, all of them, stop words too; None when there are none."""
    terms = text.index_terms(said)
    if not terms:
        return None
    last = terms[-1]
    open_end = len(last) == 1 and text.is_unspaced(last)
    if open_end and len(terms) > 1:
        # The lone last character of a run stands in the index only where the run ends there.
        terms, open_end = terms[:-1], False
    inflected = dict.fromkeys(tuple(text.index_terms(said, latin)) for latin in languages)
    inflected.pop(tuple(text.index_terms(said)), None)
    return Phrase(tuple(terms), title=title, open_end=open_end, variants=tuple(inflected))
