"""The analyser: text -> index terms, BM25's view of the world.

Words are runs of letters, marks and digits. They are folded: case, the accents of Latin and Greek
letters, strokes and ligatures (`Łódź` is lodz, `cœur` coeur), vowel signs of Hebrew and Arabic,
digits of other scripts, and characters that nobody sees. Each is then stemmed by the Snowball
stemmer that its script points to; in Latin script that is the document's language, seen from its
most frequent words (language.py). Scripts without spaces, and Korean, become overlapping
character bigrams; where such a run touches a word or number, the two characters at the seam are a
term, too (`A股`, `第3章`). Identifiers give their parts beside the whole: `maxRetries` ->
maxretri, max, retri; so do names that begin with a sign: `.NET`, `$HOME`, `@types`, `#tag`.
docs/ranking.md has a table of all this. Change `VERSION` with any change of the terms.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from qrank.analysis.characters import MARKS, MAX_TERM, NORMALISED, UNSEEN, UNSPACED, fold
from qrank.analysis.language import ENGLISH, frequent_words
from qrank.markup.visible import searchable

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = 4
_MAX_PARTS = 64  # of one identifier
_LONG_RUN = 40  # characters; what is longer seldom comes again, and is not kept in memory

_APOSTROPHE = "['’\u02bc\uff07]"
_BROKEN = r"-\r?\n[^\S\n]*"  # a word that goes on in the next line


def _token_pattern(initial: str, letter: str, more: str) -> str:
    """The pattern of a token that begins with no character of a script without spaces. initial: a
    letter; letter: that, a digit or a mark; more: several of these, or what nobody sees."""
    word = rf"{initial}(?:{more})*+"
    return (
        r"(?P<sign>(?<![A-Za-z0-9_])[A-Za-z](?:\+\+|\#)(?![A-Za-z_+\#]))"  # C++, C++17, C#, F#
        rf"|(?P<named>[.$@\#](?<![\w.$@\#&)\]}}].){word})"  # .NET, $HOME, @types, #tag
        rf"|(?P<word>{letter}(?:{more}|{_APOSTROPHE}(?={letter}))*+"
        rf"(?:(?<=[^\W\d_]){_BROKEN}{word})?)"
    )


@cache
def _token(ascii: bool) -> re.Pattern[str]:
    """What finds the tokens of a text, of which `ascii` says whether it is ASCII alone: most are,
    and its pattern is compiled in a twentieth of the time and matches three times as fast."""
    if ascii:
        return re.compile(_token_pattern("[A-Za-z]", r"\w", r"\w++"), re.ASCII)
    unspaced = f"(?P<unspaced>[{UNSPACED}][{UNSPACED}{UNSEEN}]*)"
    initial = rf"[^\W\d_{UNSPACED}]"
    letter = rf"(?:[^\W{UNSPACED}]|[{MARKS}])"
    more = rf"[^\W{UNSPACED}]++|[{MARKS}{UNSEEN}]++"
    return re.compile(f"{unspaced}|{_token_pattern(initial, letter, more)}")


_HIDDEN = re.compile(f"[{UNSEEN}]+")
_LINE_BREAK = re.compile(_BROKEN)
_APOSTROPHES = re.compile(_APOSTROPHE)
# In the index a name's sign is its full-width form, which no folded word has.
_SIGNS = {".": "．", "$": "＄", "@": "＠", "#": "＃"}
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


@lru_cache(maxsize=1 << 17)
def _word_terms(word: str, latin: str = ENGLISH) -> tuple[str, ...]:
    """The terms of one word, the whole first, its parts after it.

    >>> _word_terms("maxRetries"), _word_terms("l’été"), _word_terms("user_id")
    (('maxretri', 'max', 'retri'), ('l', 'ete'), ('user_id', 'user', 'id'))
    >>> _word_terms("_tea_")
    ('_tea_', 'tea')
    """
    word = word[:NORMALISED]
    if not word.isascii():
        if "\u200c" in word[1:-1]:  # between the parts of a word in Persian, also written without
            parts = (_word_terms(part, latin) for part in word.split("\u200c") if part)
            whole = _word_terms(word.replace("\u200c", ""), latin)
            return (*whole, *(term for part in parts for term in part))
        word = _APOSTROPHES.sub("'", _HIDDEN.sub("", word).replace("ŉ", "'n"))
    if "\n" in word:  # Donau-
        before, after = _LINE_BREAK.split(word, 1)  # dampfschiff
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
        if tail not in _CONTRACTED:  # a suffix: Ankara'nın, but English ones the stemmer knows
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
    """Yield (start, end, terms) for each word of text, offsets in characters; latin is the
    language of what is in Latin script.

    >>> [terms for _, _, terms in tokens("C++17, A股")]
    [('c++',), ('17',), ('a',), ('a股',), ('股',)]
    """
    last, last_end, was_unspaced = "", -1, False  # the token before: what a seam is made of
    for match in _token(text.isascii()).finditer(text):
        start, end = match.span()
        kind = match.lastgroup
        if kind == "unspaced":
            run = _composed(match[0])
            if not run:
                continue
            if start == last_end and not was_unspaced:
                yield start, start + 1, (fold(last) + run[0],)
            last, last_end, was_unspaced = run[-1], end, True
            if len(run) != end - start:  # half-width kana may shrink: give up the exact places
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
                terms = (_SIGNS[match[0][0]] + fold(_HIDDEN.sub("", name)), *of_word(name, latin))
            else:
                terms = of_word(match[0], latin)
        if start == last_end and was_unspaced:
            terms = (last + fold(match[0]), *terms)
        last, last_end, was_unspaced = match[0], end, False
        yield start, end, terms


def _composed(run: str) -> str:
    """A run of characters without spaces, composed (NFKC), without what nobody sees."""
    if unicodedata.is_normalized("NFKC", run):
        return _HIDDEN.sub("", run)
    run = _HIDDEN.sub("", run)
    pieces = []
    at = 0
    while at < len(run):
        end = at + NORMALISED
        while end < len(run) and end < at + 2 * NORMALISED and not run[end].isalpha():
            end += 1  # not between a letter and its marks
        pieces.append(unicodedata.normalize("NFKC", run[at:end]))
        at = end
    return "".join(pieces)


def _bigrams(run: str) -> tuple[str, ...]:
    return (*(run[i : i + 2] for i in range(len(run) - 1)), run[-1])


def index_terms(text: str, latin: str = ENGLISH) -> list[str]:
    """The terms of text in order, repeats kept: what a document is indexed under."""
    return [term for _, _, terms in tokens(searchable(text), latin) for term in terms]


# Outside these a character of ASCII ends whatever a token matches, and looks at around it. What
# a token matches beyond is put into a run of its own by control characters that stand for it.
_RUN = "0-9A-Za-z_'+#\x01-\x04"
_BREAKS = re.sub(f"[{_RUN}]", "", "".join(map(chr, range(128))))
_BREAK = re.compile(f"[{re.escape(_BREAKS)}]+")
_ASCII_RUNS = bytes(32 if chr(code) in _BREAKS else code for code in range(256))
_CONTROLS = re.compile("[\x01-\x04]")
_NAMED = re.compile(r"[.$@](?<![\w.$@#&)\]}].)(?=[^\W\d_])")
_STANDS_FOR = {".": "\x01", "$": "\x02", "@": "\x03", "-": "\x04"}
_WRITTEN = str.maketrans({"\x01": ".", "\x02": "$", "\x03": "@", "\x04": "-\n"})
_BROKEN_WORD = re.compile(r"-(?<=[^\W\d_]-)\r?\n[^\S\n]*(?=[^\W\d_])")


def _as_runs(text: str) -> str:
    """A text in which what must not be taken apart at a break has none."""
    if "\x01" in text or "\x02" in text or "\x03" in text or "\x04" in text:
        text = _CONTROLS.sub(" ", text)
    if "-\n" in text or "-\r\n" in text:
        text = _BROKEN_WORD.sub("\x04", text)
    return _NAMED.sub(lambda match: _STANDS_FOR[match[0]], text)


class _RunTerms(dict[str, str]):
    """The terms of a run of text without breaks, separated by blanks, made when first needed."""

    def __init__(self, latin: str) -> None:
        super().__init__()
        self._latin = latin

    def __missing__(self, run: str) -> str:
        if run.isascii() and run.isalpha() and (run.islower() or run.istitle()):
            terms = _stem(run.lower()[:MAX_TERM], self._latin)  # most words: nothing to take apart
        else:
            written = run.translate(_WRITTEN)
            terms = " ".join(term for _, _, own in tokens(written, self._latin) for term in own)
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
    text = _as_runs(searchable(text))
    if text.isascii():
        runs = text.encode().translate(_ASCII_RUNS).decode().split()
    else:
        runs = _BREAK.split(text)
    return " ".join(filter(None, map(_run_terms(latin).__getitem__, runs)))


def _held_together(text: str) -> Iterator[str]:
    """What signs hold together: a version, a path, an address, R&D; or digits with blanks between.
    In linear time: a query may be one word of 100 KB."""
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
    """The terms of words that must follow one another, and whether the last may be the beginning
    of a longer one.

    >>> phrase_terms("red tea"), phrase_terms("Python 書"), phrase_terms("A股")
    ((('red', 'tea'), False), (('python', '書'), True), (('a', 'a股'), False))
    """
    runs = list(tokens(text, latin))
    terms = [term for _, _, of_word in runs for term in of_word]
    if not terms or not (len(terms[-1]) == 1 and is_unspaced(terms[-1])):
        return tuple(terms), False
    # The lone last character of a run stands in the index only where the run ends there.
    in_term_before = len(runs[-1][2]) > 1 or (len(runs) > 1 and runs[-2][1] == runs[-1][1])
    return (tuple(terms[:-1]), False) if in_term_before else (tuple(terms), True)


_SENTENCE_END = re.compile(r"[.!?;](?=\s|$)|\n|[。！？]")


def query_terms(text: str, latin: str = ENGLISH) -> list[str]:
    """The terms of a query; of a text of two sentences or more those that it repeats as often as
    it does.

    Stop words go, unless nothing else would be left. In a single sentence a repetition says
    nothing: counting each word once there, and without a limit in longer queries, gains .003 to
    .011 in nDCG@10 over a limit of two (measured on 30 sets).

    >>> query_terms("Where is the off-switch?"), query_terms("to be or not to be")
    (['off', 'switch'], ['to', 'be', 'or', 'not'])
    """
    counts: dict[str, int] = {}
    meant: set[str] = set()  # terms that are not only in stop words
    text = searchable(text)
    for start, end, terms in tokens(text, latin):
        stop = text[start:end].lower() in STOP_WORDS
        for term in terms:
            counts[term] = counts.get(term, 0) + 1
            if not stop:
                meant.add(term)
    # In scripts without spaces the lone last character only helps when it is all there is.
    spoken = [t for t in counts if not (len(t) == 1 and is_unspaced(t))] or list(counts)
    result = [t for t in spoken if t in meant] or spoken
    if len(_SENTENCE_END.findall(text)) < 2:
        return result
    return [term for term in result for _ in range(counts[term])]


_SIGN_WITHIN = re.compile(r"\w[^\w\s]+\w")
_NUMERIC = re.compile(r"[\d().+/-]*\d[().+/-]*")
_MOST_COMPOUNDS, _LONGEST_COMPOUND = 16, 24  # in a query; terms of one


def compounds(text: str, latin: str = ENGLISH) -> list[tuple[str, ...]]:
    """The words of a query that are held together by signs, each as the terms that follow one
    another where it stands: the whole tells more than its parts.

    >>> compounds("upgrade to 1.0.21 in AT&T by qrank/store.py"), compounds("don't, l'eau")
    ([('1', '0', '21'), ('at', 't'), ('qrank', 'store', 'py')], [])
    """
    result: dict[tuple[str, ...], None] = {}
    for compound in _held_together(text):
        words = list(islice(tokens(compound, latin), _LONGEST_COMPOUND + 1))
        terms = tuple(term for _, _, of_word in words for term in of_word)
        if 2 <= len(words) <= _LONGEST_COMPOUND and not any(map(is_unspaced, terms)):
            result[terms] = None
    return list(result)[:_MOST_COMPOUNDS]


def variants(text: str, languages: Iterable[str]) -> dict[str, list[str]]:
    """For each language the terms that a query has there and not in English: what documents in
    that language are indexed under. None for a language when the query is in English: it has two
    of the function words of English, and no frequent word of that language.

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
    """Those of some languages that a query may be in: see `variants`.

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
    """Whether term is written in a script without spaces (so that it is a bigram or its half)."""
    return not term.isascii() and bool(re.match(f"[{UNSPACED}]", term))
