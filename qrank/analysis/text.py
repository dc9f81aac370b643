"""The analyser: text -> index terms, BM25's view of the world.

Words are runs of letters, marks and digits; they are case-folded, Latin and Greek accents are
dropped, and each is stemmed by the Snowball stemmer that its script points to; in Latin script
that is the document's language, seen from its most frequent words (language.py). Scripts without
spaces, and Korean, become overlapping character bigrams. Identifiers give their parts beside the
whole: `maxRetries` -> maxretri, max, retri. Change `VERSION` with any change of the terms.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from qrank.analysis.language import ENGLISH
from qrank.markup.visible import searchable

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = 3
_MOST_REPEATS = 2
_MAX_TERM = 64  # characters; longer runs are hashes and base64, cut so that they stay findable
# Characters that are normalised at once: that takes the square of a run of combining marks.
_NORMALISED = 512
_LONG_RUN = 40  # characters; what is longer seldom comes again, and is not kept in memory

# Han, kana, Thai, Lao, Myanmar and Khmer are written without spaces between words; a Korean word
# has its particles attached, so that its bigrams match where the whole does not.
_UNSPACED = (
    "\uac00-\ud7a3\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
# `re` counts no combining mark as \w, though a Hindi or Hebrew word is full of them.
_MARKS = "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
_INDIC = "\u0900-\u0963\u0966-\u0dff\u0f00-\u0fff"
_WORD = rf"(?:(?![{_UNSPACED}])[\w{_MARKS}{_INDIC}])+"
_TOKEN = re.compile(
    rf"(?P<unspaced>[{_UNSPACED}]+)"
    rf"|(?P<sign>(?<![A-Za-z0-9_])[A-Za-z](?:\+\+|\#)(?![\w+\#]))"  # C++, C#, F#
    rf"|(?P<word>{_WORD}(?:['’]{_WORD})*)"
)
_CONTRACTED = frozenset("s t re ve ll d m S T".split())
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")

LATIN = "latin"
_STEMMERS = (  # upper end of a range of code points, language of its Snowball stemmer
    (0x0250, LATIN),
    (0x0370, None),
    (0x0400, "greek"),
    (0x0530, "russian"),
    (0x0600, None),
    (0x0700, "arabic"),
    (0x0900, None),
    (0x0980, "hindi"),
    (0x110000, None),
)

STOP_WORDS = frozenset(
    "a about am an and any are as at be been being but by can could did do does doing done for "
    "from get had has have having he her here hers him his how i if in into is it its just me "
    "my no nor not of on or our ours she should so some such than that the their theirs them "
    "then there these they this those to too us very was we were what when where which who whom "
    "whose why will with would you your yours "
    # Of the scripts that one language's stemmer stands for: Russian, Greek, Arabic, Hindi.
    "и в во не что он на я с со как а то все она так его но ты к ко у же вы за бы по её ее мне "
    "было вот от меня ещё еще из ему когда ли если или быть был до вас вам там себя ей они тут где "
    "есть для мы их чем была без чего тоже под будет кто этот того этого какой этом мой тем чтобы "
    "были при об это эти о "
    "ο η το οι τα του της των τον την και να με σε για από που δεν θα είναι στο στη στην στον τι "
    "πώς ή αν ως μας σας τους μου σου ποια ποιος πότε πού "
    "في من على إلى عن مع هذا هذه ذلك التي الذي ما هو هي أن إن كان كانت لا لم قد أو ثم كل بين بعد "
    "قبل و كما متى أين كيف هل ماذا "
    "के का की में है हैं से को पर ने और यह वह कि जो एक इस उस था थी थे हो ही भी तो नहीं क्या कब कहाँ "
    "कौन कैसे लिए द्वारा".split()
)


@cache
def _stemmer(language: str) -> Callable[[str], str]:
    import Stemmer

    return Stemmer.Stemmer(language, 0).stemWord  # type: ignore[no-any-return]


def _stem(word: str, latin: str) -> str:
    first = ord(word[0])
    language = next(name for end, name in _STEMMERS if first < end)
    language = latin if language is LATIN else language
    return _stemmer(language)(word) if language and not word[0].isdigit() else word


def _fold(word: str) -> str:
    """A word case-folded, without the accents of Latin and Greek letters (not of Cyrillic: й is
    no и), its first characters only."""
    if word.isascii():
        return word[:_MAX_TERM].lower()
    kept: list[str] = []
    base = ""
    for char in unicodedata.normalize("NFKD", word[:_NORMALISED]).casefold():
        if char.isspace() or (unicodedata.combining(char) and base < "\u0400"):
            continue  # compatibility forms may hold blanks
        base = char
        kept.append(char)
    return unicodedata.normalize("NFC", "".join(kept))[:_MAX_TERM]


@lru_cache(maxsize=1 << 17)
def _word_terms(word: str, latin: str = ENGLISH) -> tuple[str, ...]:
    """The terms of one word, the whole first, its parts after it.

    >>> _word_terms("maxRetries"), _word_terms("l’été"), _word_terms("user_id")
    (('maxretri', 'max', 'retri'), ('l', 'ete'), ('user_id', 'user', 'id'))
    >>> _word_terms("_tea_")
    ('_tea_', 'tea')
    """
    word = word.replace("’", "'")
    terms: list[str] = []
    at = 0
    while 0 <= (end := word.find("'", at)) <= at + 2 and len(word) - end > 3:
        terms += _plain_terms(word[at:end], latin)  # elision: l'eau, d'or, qu'elle
        at = end + 1
    head, apostrophe, tail = word[at:].partition("'")
    if not apostrophe:
        terms += _plain_terms(head, latin)
    elif folded := _fold(word[at:]):
        terms.append(_stem(folded, latin))
        if tail not in _CONTRACTED:  # a suffix: Ankara'nın, but English ones the stemmer knows
            terms += _plain_terms(head, latin)
    return tuple(terms)


def _plain_terms(word: str, latin: str) -> tuple[str, ...]:
    """The terms of a word without an apostrophe."""
    folded = _fold(word)
    if not folded:
        return ()
    whole = _stem(folded, latin)
    inner = word.strip("_")
    if inner != word:  # _emphasis_, __init__
        return (whole, *_plain_terms(inner, latin))
    if not word.isascii() and "_" not in word:
        return (whole,)
    parts = _PART.findall(word)
    if len(parts) < 2:
        return (whole,)
    terms = dict.fromkeys([whole, *(_stem(_fold(part), latin) for part in parts)])
    return tuple(terms)


def tokens(text: str, latin: str = ENGLISH) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield (start, end, terms) for each word of text, offsets in characters; latin is the
    language of what is in Latin script."""
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        kind = match.lastgroup
        if kind == "word":
            of_word = _word_terms if end - start <= _LONG_RUN else _word_terms.__wrapped__
            yield start, end, of_word(match[0], latin)
        elif kind == "sign":
            yield start, end, (match[0].lower(),)
        else:
            run = _composed(match[0])
            if len(run) != end - start:  # half-width kana may shrink: give up the exact places
                yield start, end, _bigrams(run)
                continue
            for i in range(len(run) - 1):
                yield start + i, start + i + 2, (run[i : i + 2],)
            # The run's last character alone, so that a one-character query finds it as a prefix.
            yield end - 1, end, (run[-1],)


def _composed(run: str) -> str:
    pieces = (run[at : at + _NORMALISED] for at in range(0, len(run), _NORMALISED))
    return "".join(unicodedata.normalize("NFKC", piece) for piece in pieces)


def _bigrams(run: str) -> tuple[str, ...]:
    return (*(run[i : i + 2] for i in range(len(run) - 1)), run[-1])


def index_terms(text: str, latin: str = ENGLISH) -> list[str]:
    """The terms of text in order, repeats kept: what a document is indexed under."""
    return [term for _, _, terms in tokens(searchable(text), latin) for term in terms]


# Outside these a character of ASCII ends whatever _TOKEN matches, and looks at around it.
_RUN = "0-9A-Za-z_'+#"
_BREAKS = re.sub(f"[{_RUN}]", "", "".join(map(chr, range(128))))
_BREAK = re.compile(f"[{re.escape(_BREAKS)}]+")
_ASCII_RUNS = bytes(32 if chr(code) in _BREAKS else code for code in range(256))


class _RunTerms(dict[str, str]):
    """The terms of a run of text without breaks, separated by blanks, made when first needed."""

    def __init__(self, latin: str) -> None:
        super().__init__()
        self._latin = latin

    def __missing__(self, run: str) -> str:
        if run.isascii() and run.isalpha() and (run.islower() or run.istitle()):
            terms = _stem(run.lower()[:_MAX_TERM], self._latin)  # most words: nothing to take apart
        else:
            terms = " ".join(term for _, _, found in tokens(run, self._latin) for term in found)
        if len(run) <= _LONG_RUN:
            if len(self) >= 1 << 17:
                self.clear()
            self[run] = terms
        return terms


@cache
def _run_terms(latin: str) -> _RunTerms:
    return _RunTerms(latin)


def joined_terms(text: str, latin: str = ENGLISH) -> str:
    """`index_terms` separated by blanks, several times as fast: what is between two breaks
    depends on nothing around it, and is mostly a word that was seen before.

    >>> joined_terms("Where's C++? In user_id.")
    'where c++ in user_id user id'
    """
    text = searchable(text)
    if text.isascii():
        runs = text.encode().translate(_ASCII_RUNS).decode().split()
    else:
        runs = _BREAK.split(text)
    return " ".join(filter(None, map(_run_terms(latin).__getitem__, runs)))


def query_terms(text: str, latin: str = ENGLISH) -> list[str]:
    """The terms of a query; one that it repeats is there twice, and counts twice.

    Stop words go, unless nothing else would be left.

    >>> query_terms("Where is the off-switch?"), query_terms("to be or not to be")
    (['off', 'switch'], ['to', 'to', 'be', 'be', 'or', 'not'])
    """
    counts: dict[str, int] = {}
    meant: set[str] = set()  # terms that are not only in stop words
    text = searchable(text)
    for start, end, terms in tokens(text, latin):
        stop = text[start:end].lower() in STOP_WORDS
        for term in terms:
            counts[term] = min(_MOST_REPEATS, counts.get(term, 0) + 1)
            if not stop:
                meant.add(term)
    # In scripts without spaces the lone last character only helps when it is all there is.
    spoken = [t for t in counts if not (len(t) == 1 and is_unspaced(t))] or list(counts)
    kept = [t for t in spoken if t in meant] or spoken
    return [term for term in kept for _ in range(counts[term])]


def variants(text: str, languages: Iterable[str]) -> dict[str, list[str]]:
    """For each language the terms that a query has there and not in English: what documents in
    that language are indexed under.

    >>> variants("the policies", ["english", "french"])
    {'french': ['polic']}
    """
    english = set(query_terms(text))
    own = {latin: query_terms(text, latin) for latin in languages}
    found = {latin: [t for t in terms if t not in english] for latin, terms in own.items()}
    return {latin: terms for latin, terms in found.items() if terms}


def is_unspaced(term: str) -> bool:
    """Whether term is written in a script without spaces (so that it is a bigram or its half)."""
    return bool(re.match(f"[{_UNSPACED}]", term))
