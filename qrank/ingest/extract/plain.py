"""Plain text: paragraphs between blank lines."""

from __future__ import annotations

import re

from qrank.results import Block

_BLANK = re.compile(r"\n\s*\n")


def extract(text: str, _suffix: str = "") -> tuple[str, list[Block]]:
    """Return ("", paragraphs): plain text has no title of its own.

    >>> [(b.start, b.end) for b in extract("a\\nb\\n\\n  c")[1]]
    [(0, 5), (5, 8)]
    """
    if "\r" in text:
        text = text.replace("\r\n", " \n").replace("\r", "\n")  # same length: offsets hold
    ends = [match.end() for match in _BLANK.finditer(text)]
    if not ends or ends[-1] < len(text):
        ends.append(len(text))
    # A paragraph includes its indentation, but not the line ends before it.
    ends = [text.rfind("\n", 0, end) + 1 if end < len(text) else end for end in ends]
    starts = [0, *ends[:-1]]
    blocks = [Block(s, e) for s, e in zip(starts, ends, strict=True) if e > s]
    return "", _paged(text, blocks) if "\f" in text else blocks


def _paged(text: str, blocks: list[Block]) -> list[Block]:
    """Split blocks at form feeds, and number pages, for text with page breaks (pdftotext, RFCs)."""
    paged = []
    page = 1
    for block in blocks:
        start = block.start
        while (end := text.find("\f", start, block.end)) >= 0:
            paged.append(Block(start, end + 1, page=page, part=page))
            start, page = end + 1, page + 1
        if start < block.end:
            paged.append(Block(start, block.end, page=page, part=page))
    return paged
