"""Answers of bounded length: texts with their places, and what did not fit by a cursor."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from qrank.errors import InputError
from qrank.searching.pack import BYTES_PER_TOKEN, estimate

DEFAULT_TOKENS = 4_000
MOST_TOKENS = 20_000  # Claude Code refuses answers over 25,000
LEAST_TOKENS = 100
KEPT = 200  # answers whose rest can still be asked for
_FOOTER_TOKENS = 70
_BLOCK_TOKENS = 4  # the blanks and line ends around a block


@dataclass(frozen=True, slots=True)
class Block:
    """A text with the line that says where it is from. line: where in the file it begins; None
    where its lines are not those of a file."""

    label: str
    text: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class _Rest:
    """What of an answer was not shown yet: from this character of this block on."""

    blocks: Sequence[Block]
    block: int
    char: int


class Pages:
    """Answers a page at a time. Threads may share it."""

    def __init__(self) -> None:
        self._rests: OrderedDict[str, _Rest] = OrderedDict()
        self._lock = threading.Lock()

    def first(self, tool: str, head: str, blocks: Sequence[Block], tokens: int) -> str:
        """The beginning of an answer, in about so many tokens."""
        return self._page(tool, head, _Rest(blocks, 0, 0), tokens)

    def next(self, tool: str, cursor: str, tokens: int) -> str:
        """What follows the page that gave this cursor. Raises InputError for an unknown one."""
        with self._lock:
            rest = self._rests.get(cursor.strip().strip("\"'"))
        if rest is None:
            raise InputError(
                f"there is no cursor {cursor!r} any more", hint="call again without a cursor"
            )
        return self._page(tool, "", rest, tokens)

    def _page(self, tool: str, head: str, rest: _Rest, tokens: int) -> str:
        left = max(LEAST_TOKENS, min(tokens, MOST_TOKENS)) - _FOOTER_TOKENS
        parts = [head] if head else []
        left -= estimate(head)
        shown = 0
        at, char = rest.block, rest.char
        while at < len(rest.blocks):
            block = rest.blocks[at]
            label, text = _labelled(block, char)
            room = left - estimate(label) - _BLOCK_TOKENS
            if estimate(text) <= room:
                parts.append(f"{label}\n{text}")
                left = room - estimate(text)
                at, char, shown = at + 1, 0, shown + 1
                continue
            if not shown:  # not even the first fits: its beginning
                cut = _cut(text, max(room, 1))
                parts.append(f"{label}\n{text[:cut]}")
                char += cut
            break
        if at < len(rest.blocks):
            cursor = self._keep(_Rest(rest.blocks, at, char))
            left_over = f"{len(rest.blocks) - at} of {len(rest.blocks)} texts"
            parts.append(
                f'[{left_over} not shown yet. Call {tool} again with cursor "{cursor}" for them; '
                f"max_tokens may be up to {MOST_TOKENS}.]"
            )
        return "\n\n".join(parts)

    def _keep(self, rest: _Rest) -> str:
        cursor = secrets.token_hex(4)
        with self._lock:
            self._rests[cursor] = rest
            while len(self._rests) > KEPT:
                self._rests.popitem(last=False)
        return cursor


def _labelled(block: Block, char: int) -> tuple[str, str]:
    """The label and the text of what is left of a block."""
    if not char:
        return block.label, block.text
    at = f" from line {block.line + block.text.count(chr(10), 0, char)}" if block.line else ""
    return f"{block.label} (continued{at})", block.text[char:]


def _cut(text: str, tokens: int) -> int:
    """After how many characters to cut a text that is longer than tokens: at the end of a line or
    else of a word, if there is one in the second half.

    >>> _cut("one two three", 3), _cut("one\\ntwo three", 3), _cut("abcdefghijkl", 3)
    (8, 8, 9)
    """
    size = int(tokens * BYTES_PER_TOKEN)
    most = max(1, len(text[:size].encode("utf-8", "replace")[:size].decode("utf-8", "ignore")))
    for separator in ("\n", " "):
        cut = text.rfind(separator, most // 2, most)
        if cut >= 0:
            return cut + 1
    return most
