"""The part of a passage that is shown: the window with most of the query's terms, marked."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qrank import text as analyser

_BIDI = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
_CONTROL = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: "\u2421",
    **dict.fromkeys(range(0x80, 0xA0), "\ufffd"),
    **_BIDI,
}


def inert(text: str) -> str:
    """Text whose control characters are shown instead of obeyed: no document drives a terminal.

    >>> inert("\\x1b[31mred")
    '␛[31mred'
    """
    return text.translate(_CONTROL)


def inert_name(name: str) -> str:
    """The same for a path or a heading, which stay on one line.

    >>> inert_name("a\\nb")
    'a␊b'
    """
    return inert(name).replace("\n", "\u240a").replace("\t", "\u2409")


def snippet(passage: str, terms: Sequence[str], width: int) -> tuple[str, list[tuple[int, int]]]:
    """At most about width characters of passage on one line, and the spans of terms in it.

    >>> snippet("One. Two three four.", ["three"], 100)
    ('One. Two three four.', [(9, 14)])
    """
    # What a carriage return or a newline separates is one line here; the rest is made inert.
    line = inert(re.sub(r"\s+", " ", passage).strip())
    wanted = set(terms)
    hits = [
        (start, end, wanted.intersection(found))
        for start, end, found in analyser.tokens(line)
        if wanted.intersection(found)
    ]
    start = _window(hits, width) if len(line) > width else 0
    end = len(line)
    if start > 0:
        start = line.rfind(" ", 0, start) + 1
    if end - start > width:
        end = line.rfind(" ", start + 1, start + width)
        end = end if end > start else start + width
    lead = "… " if start > 0 else ""
    tail = " …" if end < len(line) else ""
    shift = len(lead) - start
    spans = [(s + shift, e + shift) for s, e, _ in hits if s >= start and e <= end]
    return lead + line[start:end] + tail, spans


def _window(hits: Sequence[tuple[int, int, set[str]]], width: int) -> int:
    """Where a window of width begins that holds the most distinct terms; the first such."""
    best, best_start = 0, 0
    for i, (start, _, _) in enumerate(hits):
        inside = [found for _, end, found in hits[i:] if end <= start + width]
        distinct = len(set().union(*inside))
        if distinct > best:
            best, best_start = distinct, max(0, start - width // 6)
    return best_start
