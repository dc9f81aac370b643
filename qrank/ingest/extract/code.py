"""Source code: top-level definitions, told by their indentation and the blank lines around."""

from __future__ import annotations

from qrank.results import Block

_CLOSING = (")", "]", "}")


def extract(text: str) -> tuple[str, list[Block]]:
    """Return ("", blocks): each block holds a definition with the comment that leads it in.

    A block begins at a line at the margin that follows a blank one and closes nothing.

    >>> [b.end for b in extract("def a():\\n    x\\n\\n    y\\n\\ndef b(): pass\\n")[1]]
    [23, 37]
    """
    blocks: list[Block] = []
    at = start = 0
    after_blank = False
    for line in text.splitlines(keepends=True):
        if after_blank and line.strip() and not line[0].isspace() and line[0] not in _CLOSING:
            if text[start:at].strip():
                blocks.append(Block(start, at))
            start = at
        after_blank = not line.strip()
        at += len(line)
    if text[start:].strip():
        blocks.append(Block(start, len(text)))
    return "", blocks
