"""Markdown: blocks by CommonMark (markdown-it-py), each under the headings above it."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from qrank.results import Block

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MAX_HEADING = 200  # characters: each chunk below repeats it
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
    unix = text.replace("\r\n", " \n").replace("\r", "\n")  # same length: offsets hold
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
        title = named[1].strip("\"'")[:MAX_HEADING] if named else ""
    path: list[tuple[int, str]] = []  # (level, heading)
    first_heading = ""
    done = body  # a block takes in what lies before it: its heading, a rule, a link definition
    tokens = _parser().parse(unix[body:])
    for i, token in enumerate(tokens):
        if token.map is None or not _is_block(token):
            continue
        end = lines[min(token.map[1], len(lines) - 1)]
        if token.type == "heading_open":
            level = int(token.tag[1:])
            name = " ".join(tokens[i + 1].content.split())[:MAX_HEADING]
            path = [(above, text) for above, text in path if above < level] + [(level, name)]
            first_heading = first_heading or (name if level == 1 else "")
        elif end > done:  # an inner list item lies in the outer one
            blocks.append(Block(done, end, tuple(name for _, name in path)))
            done = end
    if unix[done:].strip():
        blocks.append(Block(done, len(text), tuple(name for _, name in path)))
    return title or first_heading, blocks


def _is_block(token: Token) -> bool:
    """Of a list each item is a block, of everything else what stands at the outermost level."""
    return token.type == "list_item_open" or (token.level == 0 and token.type in _LEAVES)
