"""Markdown: blocks by CommonMark (markdown-it-py), each under the headings above it."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from qrank.results import Block

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_LEAVES = frozenset(
    "heading_open paragraph_open blockquote_open fence code_block table_open html_block".split()
)


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table")


def extract(text: str) -> tuple[str, list[Block]]:
    """Return (title, blocks); the title is the front matter's, else the first top heading.

    >>> extract("# Tea\\n\\nSteep.\\n\\n## Green\\n\\n- 80 °C\\n- 2 min\\n")[1][-1]
    Block(start=33, end=41, heading=('Tea', 'Green'))
    """
    unix = text.replace("\r\n", " \n")  # same length, so that offsets hold
    front = _FRONT_MATTER.match(unix)
    body = front.end() if front else 0
    lines = [body]
    lines += [body + match.end() for match in re.finditer("\n", unix[body:])]
    if lines[-1] != len(text):
        lines.append(len(text))

    blocks: list[Block] = []
    title = ""
    if front:
        blocks.append(Block(0, body))
        named = _TITLE.search(front[1])
        title = named[1].strip("\"'") if named else ""
    path: list[tuple[int, str]] = []  # (level, heading)
    first_heading = ""
    heading_start: int | None = None  # headings that wait for the block below them
    tokens = _parser().parse(unix[body:])
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.map is None or not _is_block(token):
            continue
        start, end = (lines[min(line, len(lines) - 1)] for line in token.map)
        if token.type == "heading_open" and following is not None:
            level = int(token.tag[1:])
            name = " ".join(following.content.split())
            path = [(above, text) for above, text in path if above < level] + [(level, name)]
            first_heading = first_heading or (name if level == 1 else "")
            heading_start = start if heading_start is None else heading_start
        elif not (blocks and blocks[-1].end > start):  # an inner list item lies in the outer one
            names = tuple(name for _, name in path)
            blocks.append(Block(start if heading_start is None else heading_start, end, names))
            heading_start = None
    if heading_start is not None:
        blocks.append(Block(heading_start, len(text), tuple(name for _, name in path)))
    return title or first_heading, blocks


def _is_block(token: Token) -> bool:
    """Of a list each item is a block, of everything else what stands at the outermost level."""
    return token.type == "list_item_open" or (token.level == 0 and token.type in _LEAVES)
