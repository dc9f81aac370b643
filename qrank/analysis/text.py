"""The analyser: the terms of texts and queries, for BM25.

A token is a run of letters, marks and digits. It is folded (case, accents of Latin and Greek
letters, strokes and ligatures, Hebrew and Arabic vowel points, digits of other scripts, invisible
characters: `Łódź` becomes lodz), then stemmed by a Snowball stemmer. The script selects the
stemmer; in Latin script the document's language does, which language.py detects. Text in scripts
without spaces, and in Korean, becomes overlapping character bigrams; where it touches a word or
number, the two adjacent characters are a term, too (`A股`, `第3章`). Identifiers are indexed whole
and in parts (`maxRetries`: maxretri, max, retri), as are names that begin with a sign (`.NET`,
`$HOME`, `@types`, `#tag`). docs/ranking.md has a table of all this. Increase `VERSION` with any
change of the terms.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from qrank.analysis.characters import INVISIBLE, MARKS, MAX_TERM, NORMALISE_AT_ONCE, UNSPACED, fold
from qrank.analysis.language import ENGLISH, frequent_words
from qrank.markup.visible import searchable

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = 4
_MAX_PARTS = 64  # of one identifier
_LONG_RUN = 40  # characters; longer words seldom repeat, so they are not cached

_APOSTROPHE = "['’\u02bc\uff07]"
_LINE_END_HYPHEN = r"-\r?\n[^\S\n]*"  # hyphenation at the end of a line


def _token_pattern(initial: str, letter: str, more: str) -> str:
    """The pattern of a token outside scripts without spaces, from patterns. initial: a letter;
    letter: a letter, digit or mark; more: several of these, or of invisible characters."""
    word = rf"{initial}(?:{more})*+"
    return (
        r"(?P<sign>(?<![A-Za-z0-9_])[A-Za-z](?:\+\+|\#)(?![A-Za-z_+\#]))"  # C++, C++17, C#, F#
        rf"|(?P<named>[.$@\#](?<![\w.$@\#&)\]}}].){word})"  # .NET, $HOME, @types, #tag
        rf"|(?P<word>{letter}(?:{more}|{_APOSTROPHE}(?={letter}))*+"
        rf"(?:(?<=[^\W\d_]){_LINE_END_HYPHEN}{word})?)"
    )


@cache
def _token(ascii: bool) -> re.Pattern[str]:
    """The pattern of tokens; ascii: for texts that are all ASCII. Most are, and that pattern
    compiles in a twentieth of the time and matches three times as fast."""
    if ascii:
        return re.compile(_token_pattern("[A-Za-z]", r"\w", r"\w++"), re.ASCII)
    unspaced = f"(?P<unspaced>[{UNSPACED}][{UNSPACED}{INVISIBLE}]*)"
    initial = rf"[^\W\d_{UNSPACED}]"
    letter = rf"(?:[^\W{UNSPACED}]|[{MARKS}])"
    more = rf"[^\W{UNSPACED}]++|[{MARKS}{INVISIBLE}]++"
    return re.compile(f"{unspaced}|{_token_pattern(initial, letter, more)}")


_INVISIBLE = re.compile(f"[{INVISIBLE}]+")
_HYPHEN_BREAK = re.compile(_LINE_END_HYPHEN)
_APOSTROPHES = re.compile(_APOSTROPHE)
# A name's sign is indexed in its full-width form, which folded words never contain.
_SIGNS = {".": "．", "$": "＄", "@": "＠", "#": "＃"}
_CONTRACTIONS = frozenset("s t re ve ll d m S T".split())
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")

LATIN = "latin"
_STEMMERS = (  # (end of a range of code points, exclusive; language of its Snowball stemmer)
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
    # The scripts above that have one stemmer: Russian, Greek, Arabic, Hindi.
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


@lru_cache(maxsize=1 << 17)
def _word_terms(word: str, latin: str = ENGLISH) -> tuple[str, ...]:
    """The terms of one word: the whole first, then its parts.

    >>> _word_terms("maxRetries"), _word_terms("l’été"), _word_terms("user_id")
    (('maxretri', 'max', 'retri'), ('l', 'ete'), ('user_id', 'user', 'id'))
    >>> _word_terms("_tea_")
    ('_tea_', 'tea')
    """
    word = word[:NORMALISE_AT_ONCE]
    if not word.isascii():
        if "\u200c" in word[1:-1]:  # zero-width non-joiner: optional between parts of Persian words
            parts = (_word_terms(part, latin) for part in word.split("\u200c") if part)
            whole = _word_terms(word.replace("\u200c", ""), latin)
            return (*whole, *(term for part in parts for term in part))
        word = _APOSTROPHES.sub("'", _INVISIBLE.sub("", word).replace("ŉ", "'n"))
    if "\n" in word:  # hyphenated at the end of a line
        before, after = _HYPHEN_BREAK.split(word, 1)
        return (
            *_word_terms(before + after, latin),
            *_word_terms(before, latin),
            *_word_terms(after, latin),
        )
    terms: list[str] = []
    at = 0
    while 0 <= (end := word.find("'", at)) <= at + 2 and len(word) - end > 3:
        terms += _plain_terms(word[at:end], latin)  # elision: l'eau, d'or, qu'elle
        at = end + 1
    head, apostrophe, tail = word[at:].partition("'")
    if not apostrophe:
        terms += _plain_terms(head, latin)
    elif folded := fold(word[at:]):
        terms.append(_stem(folded, latin))
        if tail not in _CONTRACTIONS:  # a suffix (Ankara'nın); English ones the stemmer removes
            terms += _plain_terms(head, latin)
    return tuple(terms)


def _plain_terms(word: str, latin: str) -> tuple[str, ...]:
    """The terms of a word without an apostrophe."""
    folded = fold(word)
    if not folded:
        return ()
    whole = _stem(folded, latin)
    inner = word.strip("_")
    if inner != word:  # _emphasis_, __init__
        return (whole, *_plain_terms(inner, latin))
    if not word.isascii() and "_" not in word:
        return (whole,)
    parts = [match[0] for match in islice(_PART.finditer(word), _MAX_PARTS)]
    if len(parts) < 2:
        return (whole,)
    terms = dict.fromkeys([whole, *(_stem(fold(part), latin) for part in parts)])
    return tuple(terms)


def tokens(text: str, latin: str = ENGLISH) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield (start, end, terms) for each word of text, with offsets in characters; latin: the
    language of text in Latin script.

    >>> [terms for _, _, terms in tokens("C++17, A股")]
    [('c++',), ('17',), ('a',), ('a股',), ('股',)]
    """
    last, last_end, last_is_unspaced = "", -1, False  # the token before, for the term across both
    for match in _token(text.isascii()).finditer(text):
        start, end = match.span()
        kind = match.lastgroup
        if kind == "unspaced":
            run = _composed(match[0])
            if not run:
                continue
            if start == last_end and not last_is_unspaced:
                yield start, start + 1, (fold(last) + run[0],)
            last, last_end, last_is_unspaced = run[-1], end, True
            if len(run) != end - start:  # composed half-width kana are fewer: no exact offsets
                yield start, end, _bigrams(run)
                continue
            for i in range(len(run) - 1):
                yield start + i, start + i + 2, (run[i : i + 2],)
            # The run's last character alone, so that a one-character query finds it as a prefix.
            yield end - 1, end, (run[-1],)
            continue
        if kind == "sign":
            terms: tuple[str, ...] = (match[0].lower(),)
        else:
            of_word = _word_terms if end - start <= _LONG_RUN else _word_terms.__wrapped__
            if kind == "named":
                name = match[0][1:]
                terms = (
                    _SIGNS[match[0][0]] + fold(_INVISIBLE.sub("", name)),
                    *of_word(name, latin),
                )
            else:
                terms = of_word(match[0], latin)
        if start == last_end and last_is_unspaced:
            terms = (last + fold(match[0]), *terms)
        last, last_end, last_is_unspaced = match[0], end, False
        yield start, end, terms


def _composed(run: str) -> str:
    """A run of unspaced script in NFKC, without invisible characters."""
    if unicodedata.is_normalized("NFKC", run):
        return _INVISIBLE.sub("", run)
    run = _INVISIBLE.sub("", run)
    pieces = []
    at = 0
    while at < len(run):
        end = at + NORMALISE_AT_ONCE
        while end < len(run) and end < at + 2 * NORMALISE_AT_ONCE and not run[end].isalpha():
            end += 1  # do not split between a letter and its marks
        pieces.append(unicodedata.normalize("NFKC", run[at:end]))
        at = end
    return "".join(pieces)


def _bigrams(run: str) -> tuple[str, ...]:
    return (*(run[i : i + 2] for i in range(len(run) - 1)), run[-1])


def index_terms(text: str, latin: str = ENGLISH) -> list[str]:
    """The terms that a text is indexed under, in order, with repetitions."""
    return [term for _, _, terms in tokens(searchable(text), latin) for term in terms]


# No token, nor its lookaround, reaches across an ASCII character outside of this class, so text can
# be split there, and the terms of each run cached. The exceptions are the sign before a name and
# hyphenation at line ends: _protect replaces them by control characters of the class.
_RUN = "0-9A-Za-z_'+#\x01-\x04"
_BREAKS = re.sub(f"[{_RUN}]", "", "".join(map(chr, range(128))))
_BREAK = re.compile(f"[{re.escape(_BREAKS)}]+")
_ASCII_RUNS = bytes(32 if chr(code) in _BREAKS else code for code in range(256))
_CONTROLS = re.compile("[\x01-\x04]")
_NAME_SIGN = re.compile(r"[.$@](?<![\w.$@#&)\]}].)(?=[^\W\d_])")
_CONTROL_FOR = {".": "\x01", "$": "\x02", "@": "\x03", "-": "\x04"}
_RESTORE = str.maketrans({"\x01": ".", "\x02": "$", "\x03": "@", "\x04": "-\n"})
_BROKEN_WORD = re.compile(r"-(?<=[^\W\d_]-)\r?\n[^\S\n]*(?=[^\W\d_])")


def _protect(text: str) -> str:
    """Replace signs of names, and hyphens at line ends, by control characters: see _RUN."""
    if "\x01" in text or "\x02" in text or "\x03" in text or "\x04" in text:
        text = _CONTROLS.sub(" ", text)
    if "-\n" in text or "-\r\n" in text:
        text = _BROKEN_WORD.sub("\x04", text)
    return _NAME_SIGN.sub(lambda match: _CONTROL_FOR[match[0]], text)


class _RunTerms(dict[str, str]):
    """A cache: the terms of a run of text without breaks, separated by spaces."""

    def __init__(self, latin: str) -> None:
        super().__init__()
        self._latin = latin

    def __missing__(self, run: str) -> str:
        if run.isascii() and run.isalpha() and (run.islower() or run.istitle()):
            terms = _stem(run.lower()[:MAX_TERM], self._latin)  # most words: a single term
        else:
            text = run.translate(_RESTORE)
            terms = " ".join(term for _, _, own in tokens(text, self._latin) for term in own)
        if len(run) <= _LONG_RUN:
            if len(self) >= 1 << 17:
                self.clear()
            self[run] = terms
        return terms


@cache
def _run_terms(latin: str) -> _RunTerms:
    return _RunTerms(latin)


def joined_terms(text: str, latin: str = ENGLISH) -> str:
    """`index_terms` joined by spaces, several times as fast: the terms of a run between two breaks
    do not depend on the text around it, and most runs are cached.

    >>> joined_terms("Where's C++? In user_id.")
    'where c++ in user_id user id'
    """
    text = _protect(searchable(text))
    if text.isascii():
        runs = text.encode().translate(_ASCII_RUNS).decode().split()
    else:
        runs = _BREAK.split(text)
    return " ".join(filter(None, map(_run_terms(latin).__getitem__, runs)))


def _written_together(text: str) -> Iterator[str]:
    """Words with signs inside (a version, a path, an address, R&D), and numbers written in groups
    of digits. Linear time: a query may be one word of 100 KB."""
    numbers: list[str] = []
    for word in text.split():
        has_sign = _SIGN_WITHIN.search(word)
        if _NUMERIC.fullmatch(word) and (numbers or not has_sign):
            numbers.append(word)
            continue
        if len(numbers) > 1:
            yield " ".join(numbers)
        numbers = []
        if has_sign:
            yield word.lstrip("".join(_SIGNS))
    if len(numbers) > 1:
        yield " ".join(numbers)


def phrase_terms(text: str, latin: str = ENGLISH) -> tuple[tuple[str, ...], bool]:
    """(terms, open_end): the consecutive terms of a phrase; open_end: the last is a prefix, so
    that longer terms match it, too.

    >>> phrase_terms("red tea"), phrase_terms("Python 書"), phrase_terms("A股")
    ((('red', 'tea'), False), (('python', '書'), True), (('a', 'a股'), False))
    """
    runs = list(tokens(text, latin))
    terms = [term for _, _, of_word in runs for term in of_word]
    if not terms or not (len(terms[-1]) == 1 and is_unspaced(terms[-1])):
        return tuple(terms), False
    # The last character of an unspaced run is a term of its own only where the indexed run ends
    # there, too.
    in_term_before = len(runs[-1][2]) > 1 or (len(runs) > 1 and runs[-2][1] == runs[-1][1])
    return (tuple(terms[:-1]), False) if in_term_before else (tuple(terms), True)


_SENTENCE_END = re.compile(r"[.!?;](?=\s|$)|\n|[。！？]")


def query_terms(text: str, latin: str = ENGLISH) -> list[str]:
    """The terms of a query without stop words, unless it has no other words. Repetitions are kept
    in queries of two sentences or more.

    Counting each term once in a single sentence, and all repetitions in longer queries, gains .003
    to .011 in nDCG@10 over counting at most two (measured on 30 sets).

    >>> query_terms("Where is the off-switch?"), query_terms("to be or not to be")
    (['off', 'switch'], ['to', 'be', 'or', 'not'])
    """
    counts: dict[str, int] = {}
    content_terms: set[str] = set()  # of words that are not stop words
    text = searchable(text)
    for start, end, terms in tokens(text, latin):
        stop = text[start:end].lower() in STOP_WORDS
        for term in terms:
            counts[term] = counts.get(term, 0) + 1
            if not stop:
                content_terms.add(term)
    # The single last character of a run of unspaced script is only used when it is the whole run.
    candidates = [t for t in counts if not (len(t) == 1 and is_unspaced(t))] or list(counts)
    result = [t for t in candidates if t in content_terms] or candidates
    if len(_SENTENCE_END.findall(text)) < 2:
        return result
    return [term for term in result for _ in range(counts[term])]


_SIGN_WITHIN = re.compile(r"\w[^\w\s]+\w")
_NUMERIC = re.compile(r"[\d().+/-]*\d[().+/-]*")
_MOST_COMPOUNDS, _LONGEST_COMPOUND = 16, 24  # in a query; terms of one


def compounds(text: str, latin: str = ENGLISH) -> list[tuple[str, ...]]:
    """The compounds of a query, words joined by signs, each as the consecutive terms it is indexed
    as: matching the whole tells more than matching its parts.

    >>> compounds("upgrade to 1.0.21 in AT&T by qrank/store.py"), compounds("don't, l'eau")
    ([('1', '0', '21'), ('at', 't'), ('qrank', 'store', 'py')], [])
    """
    result: dict[tuple[str, ...], None] = {}
    for compound in _written_together(text):
        words = list(islice(tokens(compound, latin), _LONGEST_COMPOUND + 1))
        terms = tuple(term for _, _, of_word in words for term in of_word)
        if 2 <= len(words) <= _LONGEST_COMPOUND and not any(map(is_unspaced, terms)):
            result[terms] = None
    return list(result)[:_MOST_COMPOUNDS]


def variants(text: str, languages: Iterable[str]) -> dict[str, list[str]]:
    """For each language the terms of a query that its stemmer makes and the English one does not,
    to match documents in that language. A language is left out when it has none, and when the
    query is clearly English: two function words of English, no frequent word of that language.

    >>> variants("policies", ["english", "french"]), variants("what are the policies", ["french"])
    ({'french': ['polic']}, {})
    """
    english = set(query_terms(text))
    result = {}
    for latin in languages_of(text, languages):
        if terms := [term for term in query_terms(text, latin) if term not in english]:
            result[latin] = terms
    return result


def languages_of(text: str, languages: Iterable[str]) -> list[str]:
    """Those languages that a query may be in: see `variants`.

    >>> languages_of("what are the policies", ["english", "french"]), languages_of("tea", ["dutch"])
    (['english'], ['dutch'])
    """
    words = {text[start:end].lower() for start, end, _ in tokens(text)}
    function_words = words & (STOP_WORDS | frequent_words(ENGLISH))
    return [
        latin
        for latin in languages
        if words & (own := frequent_words(latin)) or len(function_words - own) < 2
    ]


def is_unspaced(term: str) -> bool:
    """Whether term is of a script without spaces (a bigram or a single character)."""
    return not term.isascii() and bool(re.match(f"[{UNSPACED}]", term))
