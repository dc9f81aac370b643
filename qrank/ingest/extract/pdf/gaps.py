"""Missing spaces between words: pdfium joins words that are close together on the page.

Many typesetting programs write no spaces, but move the position. pdfium generates a space for a
gap that is wide in relation to the letters beside it, and misses those of tightly set lines
("theyare"). Measured between the font's boxes of letters, gaps within words are at most .03 of the
line's height, or negative, and gaps between words .2 and more (bash.pdf, 30 pages: none between).
"""

from __future__ import annotations

import re
from ctypes import byref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pypdfium2 import PdfTextPage

GAP = 0.15  # of the line's height; a wider gap is between two words
_SPACES_CHECKED = 200  # of a page, to find out whether pdfium generated them
_WORD = re.compile(r"[^\W_]{3,}")


def split_words(page: PdfTextPage, text: str) -> dict[str, str]:
    """The words of a page's text that are several, each with spaces inserted at its gaps. Widely
    spaced words ("C H A P T E R") are left out."""
    import pypdfium2.raw as pdfium

    raw = page.raw
    # Both count UTF-16 units; where they differ, offsets can't be mapped.
    if len(text) != pdfium.FPDFText_CountChars(raw) or not _has_generated_spaces(page, text):
        return {}
    box = pdfium.FS_RECTF()
    place = byref(box)
    get = pdfium.FPDFText_GetLooseCharBox
    result: dict[str, str] = {}
    for match in _WORD.finditer(text):
        word = match[0]
        pieces, begin = [], 0
        last_right = last_top = last_bottom = 0.0
        for i, char in enumerate(word):
            get(raw, match.start() + i, place)
            left, top, bottom = box.left, box.top, box.bottom
            if (
                i
                and left - last_right > GAP * (top - bottom)
                and min(top, last_top) > max(bottom, last_bottom)  # in the same line
                and _is_cased(char)
                and _is_cased(word[i - 1])
            ):
                pieces.append(word[begin:i])
                begin = i
            last_right, last_top, last_bottom = box.right, top, bottom
        if pieces and 2 * len(pieces) < len(word):
            result[word] = " ".join((*pieces, word[begin:]))
    return result


def insert_spaces(text: str, words: dict[str, str]) -> str:
    """Replace words by those with spaces, from split_words.

    >>> insert_spaces("as theyare read", {"theyare": "they are"})
    'as they are read'
    """
    return _WORD.sub(lambda word: words.get(word[0], word[0]), text) if words else text


def _has_generated_spaces(page: PdfTextPage, text: str) -> bool:
    """Whether pdfium generated any of the first spaces of a page from gaps."""
    import pypdfium2.raw as pdfium

    at = -1
    for _ in range(_SPACES_CHECKED):
        at = text.find(" ", at + 1)
        if at < 0:
            return False
        if pdfium.FPDFText_IsGenerated(page.raw, at) == 1:
            return True
    return False


def _is_cased(char: str) -> bool:
    """Whether a letter is of a script with words (Latin, Greek, Cyrillic, ...)."""
    return char.islower() or char.isupper()
