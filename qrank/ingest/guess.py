"""Guessing the encoding of a text by the frequencies of letters and pairs of letters in languages.

Each candidate is an encoding with the languages written in it. The cost of the text is minus the
logarithm of its probability; the candidate with the lowest cost wins. letters.txt has the costs of
each language's letters and pairs; benchmarks/encoding_letters.py made it, benchmarks/encodings.py
measures the accuracy.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

_WESTERN = "en de fr es pt it nl sv da nb fi is ca gl eu cy ga af id sq"
_CENTRAL = "pl cs sk hu sl hr ro hsb"
_BALTIC = "lt lv et"
_TURKISH = "tr az"
_CYRILLIC = "ru uk bg sr mk be"
_ARABIC = "ar fa ckb"
UNSPACED = ("ja", "ko", "zh_hans", "zh_hant")  # only single characters are counted, no pairs


class _Candidate(NamedTuple):
    """An encoding, the languages written in it, and its prior cost."""

    encoding: str
    languages: str
    unlikely: float


_CANDIDATES = tuple(
    _Candidate(*each)
    for each in (
        ("cp1252", _WESTERN, 0.0),
        ("cp1250", _CENTRAL, 2.0),
        ("cp1251", _CYRILLIC, 0.0),
        ("cp1253", "el", 0.0),
        ("cp1254", _TURKISH, 1.5),
        ("cp1255", "he", 0.0),
        ("cp1256", _ARABIC, 0.0),
        ("cp1257", _BALTIC, 2.0),
        ("cp1258", "vi", 2.0),
        ("cp874", "th", 0.0),
        ("cp932", "ja", 0.0),
        ("euc_jp", "ja", 0.5),
        ("gb18030", "zh_hans zh_hant", 0.0),
        ("big5hkscs", "zh_hant", 0.0),
        ("cp949", "ko", 0.0),
        ("koi8-r", "ru bg", 1.0),
        ("koi8-u", "uk be", 1.5),
        ("cp866", "ru uk bg be", 2.0),
        ("iso-8859-5", _CYRILLIC, 2.0),
        ("mac-cyrillic", _CYRILLIC, 4.0),
        ("cp855", _CYRILLIC, 5.0),
        ("iso-8859-2", _CENTRAL, 2.5),
        ("iso-8859-4", _BALTIC, 4.0),
        ("iso-8859-13", _BALTIC, 2.5),
        ("iso-8859-7", "el", 1.0),
        ("iso-8859-6", _ARABIC, 2.0),
        ("iso-8859-8", "he", 1.0),
        ("iso-8859-15", _WESTERN, 3.0),
        ("iso-8859-16", "ro", 5.0),
        ("iso-8859-3", "eo", 4.0),
        ("mac-roman", _WESTERN, 5.0),
        ("mac-latin2", _CENTRAL, 7.0),
        ("mac-greek", "el", 6.0),
        ("mac-turkish", _TURKISH, 7.0),
        ("cp437", _WESTERN, 6.0),
        ("cp850", _WESTERN, 5.5),
        ("cp852", _CENTRAL, 6.0),
        ("cp857", _TURKISH, 6.0),
        ("cp775", _BALTIC, 7.0),
        ("cp737", "el", 6.0),
        ("cp862", "he", 7.0),
        ("cp720", _ARABIC, 7.0),
    )
)
LANGUAGES = tuple(dict.fromkeys(" ".join(each.languages for each in _CANDIDATES).split()))
_ASCII = {code: " " for code in range(128) if not chr(code).isalpha()}
_BLANKS = re.compile(" +")
_TONES = "\u0300\u0301\u0303\u0309\u0323"
FIRST, MOST = 320, 4096  # bytes by which all candidates are compared, and the _BEST of them
_BEST = 5
# Costs, in nats: a character that a language does not have, a pair that it does not have (added to
# the cost of the letter), an invalid byte or control character.
_FOREIGN, _NEW_PAIR, _BROKEN = 14.0, 2.5, 20.0
_SIGN, _SIGNS = 6.5, frozenset("’‘“”„–—…•«»°§©®™€£½¼¾²³¹±×÷·µ¿¡ªº№\xa0")  # the common ones
_SECOND_LEVEL = 3.0  # added for a character of the rarer half of an East Asian set
# Costs of letters beyond ASCII by case: a capital after a lowercase letter, after a capital, at the
# start of a word; a lowercase letter at the start.
_INNER_CAPITAL, _CAPITALS, _CAPITAL, _SMALL = 6.0, 1.0, 2.0, 0.3


# Encodings that programs often declare wrongly; the least difference of costs, in all and per
# character, for which another one is taken, and the highest cost per character in that one.
_OFTEN_WRONG = ("cp1252", "cp932", "euc_jp", "gb18030", "big5hkscs", "cp949")
_MARGIN, _MARGIN_EACH, _MOST_EACH = 25.0, 2.5, 9.0


def guess(data: bytes) -> str:
    """The most likely encoding, as a name of Python's codecs, of a text that is not UTF-8."""
    return _cheapest(_dense(data, MOST)).encoding


def better(data: bytes, declared: str) -> str:
    """The encoding of a text that is valid in the declared one: that, unless another one is clearly
    more likely. Both are names of Python's codecs."""
    candidate = next((each for each in _CANDIDATES if each.encoding == declared), None)
    if candidate is None or declared not in _OFTEN_WRONG or data.isascii():
        return declared
    sample = _dense(data, FIRST)
    best = _cheapest(sample)
    count = sum(char >= "\x80" for char in sample.decode(best.encoding, "replace"))
    if best is candidate or not count:
        return declared
    less, cost = _cost(sample, best), _cost(sample, candidate)
    ascii_cost = _cost(bytes(byte for byte in sample if byte < 128), best)
    is_clear = cost - less > max(_MARGIN, _MARGIN_EACH * count)
    return best.encoding if is_clear and less - ascii_cost < _MOST_EACH * count else declared


def _cheapest(sample: bytes) -> _Candidate:
    costs = {each: _cost(sample[:FIRST], each) for each in _CANDIDATES}
    best = sorted(_CANDIDATES, key=costs.__getitem__)[:_BEST]
    if len(sample) > FIRST:
        best.sort(key=lambda each: _cost(sample, each))
    return best[0]


def letters(text: str) -> str:
    """A text as it is counted: in lower case, with one space for each run of ASCII characters that
    are not letters."""
    text = "".join(c if len(c) == 1 else "i" for c in map(str.lower, text))
    return _BLANKS.sub(" ", f" {text.translate(_ASCII)} ")


def as_cp1258(text: str) -> str:
    """Vietnamese as encoded in cp1258: tone marks are combining characters."""
    letters = []
    for char in unicodedata.normalize("NFC", text):
        parts = unicodedata.normalize("NFD", char)
        tones = [part for part in parts if part in _TONES]
        rest = "".join(part for part in parts if part not in _TONES)
        letters.append(unicodedata.normalize("NFC", rest) + "".join(tones))
    return "".join(letters)


def _dense(data: bytes, length: int) -> bytes:
    """The lines that are not all ASCII, up to length bytes."""
    parts, size = [], 0
    for line in data.splitlines():
        if not line.isascii():
            parts.append(line)
            size += len(line)
            if size > length:
                break
    return b"\n".join(parts)[:length]


def _cost(data: bytes, candidate: _Candidate) -> float:
    text = data.decode(candidate.encoding, "replace")
    cost = candidate.unlikely + _BROKEN * sum(
        char == "\ufffd" or "\x80" <= char < "\xa0" for char in text
    )
    counted = letters(text)
    ones = Counter(counted)
    pairs = Counter(pairwise(counted))
    pairs = Counter({k: n for k, n in pairs.items() if not (k[0].isascii() and k[1].isascii())})
    return (
        cost
        + _case_cost(text)
        + min(
            _language_cost(name, ones, pairs, candidate.encoding)
            for name in candidate.languages.split()
        )
    )


def _case_cost(text: str) -> float:
    cost = 0.0
    for (before, char), count in Counter(zip(f" {text}", text, strict=False)).items():
        if before.isascii() and char.isascii():
            continue
        if char.isupper():
            each = _INNER_CAPITAL if before.islower() else _CAPITAL
            cost += count * (_CAPITALS if before.isupper() else each)
        elif char.islower() and not before.isalpha():
            cost += count * _SMALL
    return cost


def _language_cost(
    name: str, ones: Counter[str], pairs: Counter[tuple[str, str]], encoding: str
) -> float:
    one, two = _costs()[name]
    cost = 0.0
    if name in UNSPACED:
        for char, count in ones.items():
            cost += count * (one.get(char) or _rare(char, encoding))
        return cost
    for char, count in ones.items():
        if char.isascii():
            cost += count * one.get(char, _FOREIGN)
    for (first, second), count in pairs.items():
        alone = one.get(second, _FOREIGN)
        if second in _SIGNS:
            cost += count * min(alone, _SIGN)
            continue
        pair_cost = alone if first in _SIGNS else two.get(first + second, alone + _NEW_PAIR)
        cost += count * (
            pair_cost - alone if second.isascii() else pair_cost
        )  # ASCII is counted above
    return cost


def _rare(char: str, encoding: str) -> float:
    """The cost of a character that was not in the texts that letters.txt was made from."""
    if char.isascii():
        return _FOREIGN
    if not unicodedata.category(char).startswith("L"):
        return 10.0
    first = char.encode(encoding, "replace")[0]
    common = {"cp932": 0x98, "euc_jp": 0xD0, "gb18030": 0xD8, "big5hkscs": 0xC7}.get(encoding, 0)
    low = {"gb18030": 0xB0, "cp949": 0xB0}.get(encoding, 0x80)
    return 10.5 if low <= first < common else 10.5 + _SECOND_LEVEL


@cache
def _costs() -> dict[str, tuple[dict[str, float], dict[str, float]]]:
    """For each language the costs of its letters, and of its pairs of letters."""
    result: dict[str, tuple[dict[str, float], dict[str, float]]] = {
        name: ({}, {}) for name in LANGUAGES
    }
    path = Path(__file__).with_name("letters.txt")
    for line in path.read_text("utf-8").split("\n")[:-1]:
        name, length, cost, joined = line.split("\t")
        size = int(length)
        table = result[name][size - 1]
        for at in range(0, len(joined), size):
            table[joined[at : at + size]] = int(cost) / 4
    return result
