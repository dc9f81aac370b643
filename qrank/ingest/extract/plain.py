"""Plain text: paragraphs between blank lines."""

from __future__ import annotations

import re

from qrank.results import Block

_PARAGRAPH = re.compile(r"[^\S\n]*\S.*(?:\n[^\S\n]*\S.*)*")


def extract(text: str) -> tuple[str, list[Block]]:
    """Return ("", paragraphs): plain text has no title of its own.

    >>> extract("a\\nb\\n\\n  c")
    ('', [Block(start=0, end=3, heading=()), Block(start=5, end=8, heading=())])
    """
    return "", [Block(*match.span()) for match in _PARAGRAPH.finditer(text)]
