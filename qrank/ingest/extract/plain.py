"""Plain text: paragraphs between blank lines."""

from __future__ import annotations

from qrank.results import Block


def extract(text: str) -> tuple[str, list[Block]]:
    """Return ("", paragraphs): plain text has no title of its own.

    >>> extract("a\\nb\\n\\n  c")
    ('', [Block(start=0, end=4, heading=()), Block(start=5, end=8, heading=())])
    """
    blocks: list[Block] = []
    at = start = 0
    for line in text.splitlines(keepends=True):
        if not line.strip():
            if at > start:
                blocks.append(Block(start, at))
            start = at + len(line)
        at += len(line)
    if at > start:
        blocks.append(Block(start, at))
    return "", blocks
