"""The text of a PDF's page, in reading order.

pdfium returns text in the order in which the file draws it, which may be line by line across two
columns. Where pieces of lines side by side are columns of prose, each column is read to its end;
cells of a table stay in their row.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from ctypes import byref, c_double
from typing import TYPE_CHECKING, NamedTuple

from qrank.ingest.extract.building import clean
from qrank.ingest.extract.pdf import gaps

if TYPE_CHECKING:
    from pypdfium2 import PdfTextPage

MAX_PIECES = 5000  # of lines on a page; drawings may have more, but no columns
MIN_ROWS = 4  # of pieces side by side that make columns
MIN_WIDTH = 10  # of a column, in line heights: about 20 letters
MIN_FILLED = 0.7  # of a column's width, by the median length of its lines
MIN_CONTINUED = 0.4  # of a column's lines that start within a sentence, in scripts with case
# pdfium's character for a hyphen at the end of a line.
_SPLIT_WORD = re.compile("\ufffe(.?)")
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u2010\xad\x02] *\n(?=[^\W\d_])")
_BLANKS_AT_END = re.compile(r" +$", re.MULTILINE)


class Box(NamedTuple):
    """A piece of a line, in points from the page's lower left."""

    left: float
    top: float
    right: float
    bottom: float


def page_text(page: PdfTextPage) -> str:
    """All text of a page, columns one after the other."""
    text = str(page.get_text_range())  # get_text_bounded loses some at page edges
    boxes = _boxes(page)
    bands = _side_by_side(_rows(boxes))
    words = gaps.split_words(page, text)
    if not bands:
        return _join_hyphenated(gaps.insert_spaces(text, words))
    ordered = _by_columns(page, text, boxes, bands)
    if ordered:
        return _join_hyphenated(gaps.insert_spaces(ordered, words))
    # pdfium may take a hyphen in a table cell, and text of the next cell, for one word: keep it.
    return clean(gaps.insert_spaces(text, words).replace("\ufffe", "-\n"))


def _boxes(page: PdfTextPage) -> list[Box]:
    import pypdfium2.raw as pdfium

    count = pdfium.FPDFText_CountRects(page, 0, -1)
    left, top, right, bottom = (c_double() for _ in range(4))
    places = (byref(left), byref(top), byref(right), byref(bottom))
    get, raw = pdfium.FPDFText_GetRect, page.raw
    boxes = []
    for i in range(min(count, MAX_PIECES)):
        get(raw, i, *places)
        boxes.append(Box(left.value, top.value, right.value, bottom.value))
    return boxes


def _rows(boxes: Sequence[Box]) -> list[list[Box]]:
    """Group consecutive boxes on a line, from left to right, to rows; boxes that are close together
    (a word in italics) are merged."""
    rows: list[list[Box]] = []
    for box in boxes:
        last = rows[-1][-1] if rows else None
        height = box.top - box.bottom
        if last is None or height <= 0:
            if height > 0:
                rows.append([box])
            continue
        if box.left < last.left or box.top < last.bottom:  # usually the next line
            rows.append([box])
            continue
        shared = min(last.top, box.top) - max(last.bottom, box.bottom)
        if shared <= 0.5 * min(height, last.top - last.bottom):
            rows.append([box])
        elif box.left - last.right < height:
            rows[-1][-1] = Box(
                last.left,
                max(last.top, box.top),
                max(last.right, box.right),
                min(last.bottom, box.bottom),
            )
        else:
            rows[-1].append(box)
    return rows


def _side_by_side(rows: Sequence[list[Box]]) -> list[list[list[Box]]]:
    """The bands of consecutive rows with boxes on both sides of the same gaps: for each band its
    columns, from left to right, as lists of boxes."""
    bands: list[list[list[Box]]] = []
    start = 0
    while start < len(rows):
        row = rows[start]
        if len(row) < 2:
            start += 1
            continue
        columns, spans = [[box] for box in row], [(box.left, box.right) for box in row]
        end, wide = start + 1, 1
        while end < len(rows):
            below = rows[end]
            if below[0].top >= rows[end - 1][0].top:
                break
            places = [_overlapping(spans, box) for box in below]
            if any(place is None for place in places):
                break
            for place, box in zip(places, below, strict=True):
                assert place is not None
                left, right = spans[place]
                spans[place] = (min(left, box.left), max(right, box.right))
                columns[place].append(box)
            wide += len(below) > 1
            end += 1
        if wide >= MIN_ROWS:
            bands.append(columns)
        start = end
    return bands


def _overlapping(spans: Sequence[tuple[float, float]], box: Box) -> int | None:
    """The index of the only span that a box overlaps; None for several or none."""
    over = [i for i, (left, right) in enumerate(spans) if box.left < right and box.right > left]
    return over[0] if len(over) == 1 else None


def _by_columns(
    page: PdfTextPage, whole: str, boxes: Sequence[Box], bands: Sequence[list[list[Box]]]
) -> str:
    """The page's text with those bands that are columns of prose read column by column; empty when
    there are none, or when letters would be lost."""
    pieces = []
    most_left, most_right = min(b.left for b in boxes) - 1, max(b.right for b in boxes) + 1
    top = max(box.top for box in boxes) + 1
    is_split = False
    for columns in bands:
        if not all(map(_is_filled, columns)):
            continue
        texts = [
            _bounded(
                page,
                min(box.left for box in column) - 1,
                min(box.bottom for box in column) - 1,
                max(box.right for box in column) + 1,
                max(box.top for box in column) + 1,
            )
            for column in columns
        ]
        if not all(map(_is_prose, texts)):
            continue
        is_split = True
        upper = max(box.top for column in columns for box in column) + 1
        pieces += [_bounded(page, most_left, upper, most_right, top), *texts]
        top = min(box.bottom for column in columns for box in column) - 1
    lowest = min(box.bottom for box in boxes) - 1
    pieces.append(_bounded(page, most_left, lowest, most_right, top))
    text = "\n".join(piece for piece in pieces if piece)
    return text if is_split and _letters(text) == _letters(whole) else ""


def _is_filled(column: Sequence[Box]) -> bool:
    """Whether a column is wide enough, and most of its lines are about as long as it is wide."""
    width = max(box.right for box in column) - min(box.left for box in column)
    widths = sorted(box.right - box.left for box in column)
    height = max(box.top - box.bottom for box in column)
    return width >= MIN_WIDTH * height and widths[len(widths) // 2] >= MIN_FILLED * width


def _is_prose(column: str) -> bool:
    """Whether many lines start within a sentence, with a lowercase letter; True for scripts without
    case.

    >>> _is_prose("The pump\\ndraws water from\\nthe well."), _is_prose("Oak\\nElm\\nYew")
    (True, False)
    """
    initials = [line[0] for line in column.split("\n") if line]
    cased = [char for char in initials if char.islower() or char.isupper() or char.isdigit()]
    if len(cased) * 2 < len(initials):
        return True
    return sum(map(str.islower, cased)) >= MIN_CONTINUED * (len(cased) - 1)


def _bounded(page: PdfTextPage, left: float, bottom: float, right: float, top: float) -> str:
    if top <= bottom:
        return ""
    text = str(page.get_text_bounded(left, bottom, right, top)).replace("\r\n", "\n")
    return _BLANKS_AT_END.sub("", text).strip("\n")


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))


def _join_hyphenated(text: str) -> str:
    """Join words that are hyphenated at line ends; before a capital letter the hyphen is kept
    ("Anglo-Saxon").

    >>> _join_hyphenated("even\ufffeing, Anglo\ufffeSaxon, a vine-\\r\\ngar")
    'evening, Anglo-Saxon, a vinegar'
    """
    text = text.replace("\r\n", "\n")
    if "\ufffe" in text:
        text = _SPLIT_WORD.sub(lambda match: "-" * (not _is_not_upper(match[1])) + match[1], text)
    text = _HYPHEN.sub(lambda match: "" if text[match.end()].islower() else "-\n", text)
    return clean(text)


def _is_not_upper(char: str) -> bool:
    """Whether a character is neither a capital letter nor a digit; True for none."""
    return not char or unicodedata.category(char) not in ("Lu", "Lt", "Nd")
