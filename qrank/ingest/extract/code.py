"""Source code: top-level definitions, told by their indentation and the blank lines around."""

from __future__ import annotations

import re

from qrank.results import Block

# A blank line before a line that starts at the margin and closes nothing.
_TOP_LEVEL = re.compile(r"\n\s*\n(?=[^\s)\]}])")


def extract(text: str) -> tuple[str, list[Block]]:
    """Return ("", blocks): each block holds a definition with the comment that leads it in.

    >>> [b.end for b in extract("def a():\\n    x\\n\\n    y\\n\\ndef b(): pass\\n")[1]]
    [23, 37]
    """
    starts = [0, *(match.end() for match in _TOP_LEVEL.finditer(text))]
    ends = [*starts[1:], len(text)]
    return "", [Block(s, e) for s, e in zip(starts, ends, strict=True) if text[s:e].strip()]
