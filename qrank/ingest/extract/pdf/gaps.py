"""Words that stand apart on a page though pdfium joins them.

Many typesetting programs write no blanks: they move on. pdfium makes a blank of a gap that is wide
for the letters beside it, and misses those of a line that was set close ("theyare"). Measured by
where a letter ends for its font, letters of one word are at most .03 of the line's height apart, or
overlap, and words .2 and more (bash.pdf, 30 pages: nothing in between).
"""

from __future__ import annotations

import re
from ctypes import byref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pypdfium2 import PdfTextPage

GAP = 0.15  # of the line's height: more parts two words
_BLANKS_SEEN = 200  # to learn whether a page has real ones
_WORD = re.compile(r"[^\W_]{3,}")


def apart(page: PdfTextPage, text: str) -> dict[str, str]:
    """Words of a page's text that are several, with blanks where there are gaps. Letters that are
    spaced out to be read as one word ("C H A P T E R") stay so."""
    import pypdfium2.raw as pdfium

    raw = page.raw
    # Both have an item for each UTF-16 unit; where they differ, places can't be told.
    if len(text) != pdfium.FPDFText_CountChars(raw) or not _has_made_blanks(page, text):
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
                and min(top, last_top) > max(bottom, last_bottom)  # beside each other
                and _is_cased(char)
                and _is_cased(word[i - 1])
            ):
                pieces.append(word[begin:i])
                begin = i
            last_right, last_top, last_bottom = box.right, top, bottom
        if pieces and 2 * len(pieces) < len(word):
            result[word] = " ".join((*pieces, word[begin:]))
    return result


def part(text: str, words: dict[str, str]) -> str:
    """A text with blanks in those words.

    >>> part("as theyare read", {"theyare": "they are"})
    'as they are read'
    """
    return _WORD.sub(lambda word: words.get(word[0], word[0]), text) if words else text


def _has_made_blanks(page: PdfTextPage, text: str) -> bool:
    """Whether pdfium made any of a page's first blanks out of gaps."""
    import pypdfium2.raw as pdfium

    at = -1
    for _ in range(_BLANKS_SEEN):
        at = text.find(" ", at + 1)
        if at < 0:
            return False
        if pdfium.FPDFText_IsGenerated(page.raw, at) == 1:
            return True
    return False


def _is_cased(char: str) -> bool:
    """Whether a letter is of a script with words (Latin, Greek, Cyrillic, ...)."""
    return char.islower() or char.isupper()
