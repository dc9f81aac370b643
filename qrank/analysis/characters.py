"""Character classes of the analyser: letters of words, folding of variants, invisible characters.

UNSPACED, MARKS and INVISIBLE go between the brackets of a regular expression's character set.
"""

from __future__ import annotations

import unicodedata

MAX_TERM = 64  # characters; longer terms (hashes, base64) are truncated, in queries as well
# Characters normalised in one call: the time is quadratic in a run of combining marks.
NORMALISE_AT_ONCE = 512

# Han, kana, Thai, Lao, Myanmar, Khmer, New Tai Lue, Tai Tham, Balinese, Javanese and Tai Viet are
# written without spaces between words. Korean is included because particles are attached to its
# words: bigrams match where the whole word does not. So are decomposed Hangul and half-width kana.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1980-\u19df\u1a20-\u1aaf"
    "\u1b00-\u1b7f\u3005\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\ua980-\ua9ff\uaa60-\uaadf\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc"
    "\U00020000-\U0003ffff"
)
# In `re`, \w does not match combining marks, which Hindi and Hebrew words are full of. These
# ranges hold marks (Unicode 16, General_Category Mn and Mc), without those in UNSPACED.
MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u0711\u0730-\u074a"
    "\u07a6-\u07b0\u07eb-\u07f3\u07fd\u0816-\u082d\u0859-\u085b\u0897-\u089f\u08ca-\u08e1"
    "\u08e3-\u0963\u0966-\u0dff\u0f00\u0f18\u0f19\u0f35\u0f37\u0f39\u0f3e\u0f3f\u0f71-\u0f84"
    "\u0f86\u0f87\u0f8d-\u0fbc\u0fc6\u135d-\u135f\u1712-\u1715\u1732-\u1734\u1752\u1753\u1772"
    "\u1773\u180b-\u180d\u180f\u1885\u1886\u18a9\u1920-\u193b\u1a17-\u1a1b\u1ab0-\u1ace"
    "\u1b80-\u1bf3\u1c24-\u1c37\u1cd0-\u1cd2\u1cd4-\u1cfa\u1dc0-\u1dff\u20d0-\u20f0"
    "\u2cef-\u2cf1\u2d7f\u2de0-\u2dff\u302a-\u302f\ua66f-\ua672\ua674-\ua67d\ua69e"
    "\ua69f\ua6f0\ua6f1\ua802\ua806\ua80b\ua823-\ua827\ua82c\ua880\ua881\ua8b4-\ua8c5"
    "\ua8e0-\ua8f1\ua8ff\ua926-\ua92d\ua947-\ua953\uaa29-\uaa36\uaa43\uaa4c\uaa4d\uaaeb-\uaaef"
    "\uaaf5\uaaf6\uabe3-\uabea\uabec\uabed\ufb1e\ufe20-\ufe2f\U000101fd\U000102e0"
    "\U00010376-\U0001037a\U00010a01-\U00010a3f\U00010ae5\U00010ae6\U00010d24-\U00010d27"
    "\U00010d69-\U00010d6d\U00010eab\U00010eac\U00010efc-\U00010eff\U00010f46-\U00010f50"
    "\U00010f82-\U00010f85\U00011000-\U00011046\U00011066-\U00011fff\U00013440\U00013447-\U00013455"
    "\U0001611e-\U0001612f\U00016af0-\U00016af4\U00016b30-\U00016b36\U00016f4f-\U00016f92"
    "\U00016fe4-\U00016ff1\U0001bc9d\U0001bc9e\U0001e000-\U0001e02a\U0001e08f"
    "\U0001e130-\U0001e136\U0001e2ae\U0001e2ec-\U0001e2ef\U0001e4ec-\U0001e4ef\U0001e5ee"
    "\U0001e5ef\U0001e8d0-\U0001e8d6\U0001e944-\U0001e94a"
)
# Soft hyphens, joiners, marks of direction, variation selectors.
INVISIBLE = (
    "\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0100-\U000e01ef"
)
# Letters with a stroke, and ligatures, as typed on keyboards without them.
_LATIN_FOLDS = {
    **dict(zip("łøđðıħŧŋɓɗƙ", "loddihtnbdk", strict=True)),
    "\u02bc": "'",
    "æ": "ae",
    "œ": "oe",
    "þ": "th",
    "ß": "ss",
}
# Letters of the Arabic script that look alike, and are typed in place of each other.
_ARABIC_FOLDS = dict(zip("ىیېکڪہۀھٱ", "يييككههها", strict=True))
_HEBREW_POINTS = (*range(0x0591, 0x05BE), 0x05BF, 0x05C1, 0x05C2, 0x05C4, 0x05C5, 0x05C7)
_ARABIC_VOWELS = (
    *(0x0640, 0x0670, *range(0x0610, 0x061B), *range(0x064B, 0x0660)),  # 0640: tatweel
    *(*range(0x06D6, 0x06DD), *range(0x06DF, 0x06E5), 0x06E7, 0x06E8, *range(0x06EA, 0x06EE)),
)
_FOLD_TABLE = str.maketrans(
    _LATIN_FOLDS | _ARABIC_FOLDS | dict.fromkeys(map(chr, (*_HEBREW_POINTS, *_ARABIC_VOWELS)))
)


def fold(word: str) -> str:
    """Fold a word: case, accents, vowel points, ligatures, digits of other scripts. Truncates it to
    MAX_TERM characters.

    Accents are removed from Latin and Greek letters, not from Cyrillic ones (й is not и); only ё
    becomes е.

    >>> fold("Þórshöfn"), fold("CŒUR"), fold("Ёлка"), fold("۲۰۲۶")
    ('thorshofn', 'coeur', 'елка', '2026')
    """
    if word.isascii():
        return word[:MAX_TERM].lower()
    letters: list[str] = []
    base = ""
    decomposed = unicodedata.normalize("NFKD", word[:NORMALISE_AT_ONCE]).casefold()
    for char in decomposed.translate(_FOLD_TABLE):
        if char.isspace() or (unicodedata.combining(char) and base < "\u0400"):
            continue  # isspace: compatibility forms may contain spaces
        if char == "\u0308" and base == "е":
            continue
        base = char
        letters.append(str(unicodedata.decimal(char)) if char.isdecimal() else char)
    return unicodedata.normalize("NFC", "".join(letters))[:MAX_TERM]
