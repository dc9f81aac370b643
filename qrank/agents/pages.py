"""Pagination of answers: texts with their locations, and a cursor for what did not fit."""

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
MOST_CURSORS = 200  # that are valid; older ones expire
_FOOTER_TOKENS = 70
_BLOCK_TOKENS = 4  # for the spaces and line ends around a block


@dataclass(frozen=True, slots=True)
class Block:
    """A text with a label that has its location. line: its first line in the file; None if it has
    no line numbers."""

    label: str
    text: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class _Rest:
    """The rest of an answer, from this character of this block on."""

    blocks: Sequence[Block]
    block: int
    char: int


class Pages:
    """Splits answers into pages. Thread-safe."""

    def __init__(self) -> None:
        self._rests: OrderedDict[str, _Rest] = OrderedDict()
        self._lock = threading.Lock()

    def first(self, tool: str, head: str, blocks: Sequence[Block], tokens: int) -> str:
        """The first page of an answer, of about so many tokens. tool: named in the footer as the
        one to call with the cursor; head: the text above the blocks."""
        return self._page(tool, head, _Rest(blocks, 0, 0), tokens)

    def next(self, tool: str, cursor: str, tokens: int) -> str:
        """The page of a cursor. Raises InputError for one that is unknown or has expired."""
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
            if not shown:  # a page must not be empty, so this block is split
                length = _split_at(text, max(room, 1))
                parts.append(f"{label}\n{text[:length]}")
                char += length
            break
        if at < len(rest.blocks):
            cursor = self._new_cursor(_Rest(rest.blocks, at, char))
            left_over = f"{len(rest.blocks) - at} of {len(rest.blocks)} texts"
            parts.append(
                f'[{left_over} not shown yet. Call {tool} again with cursor "{cursor}" for them; '
                f"max_tokens may be up to {MOST_TOKENS}.]"
            )
        return "\n\n".join(parts)

    def _new_cursor(self, rest: _Rest) -> str:
        cursor = secrets.token_hex(4)
        with self._lock:
            self._rests[cursor] = rest
            while len(self._rests) > MOST_CURSORS:
                self._rests.popitem(last=False)
        return cursor


def _labelled(block: Block, char: int) -> tuple[str, str]:
    """The label and the text of a block from this character on."""
    if not char:
        return block.label, block.text
    at = f" from line {block.line + block.text.count(chr(10), 0, char)}" if block.line else ""
    return f"{block.label} (continued{at})", block.text[char:]


def _split_at(text: str, tokens: int) -> int:
    """Where to split a text so that its first part has at most so many tokens: at the last line
    end, else space, in the second half of these; else anywhere.

    >>> _split_at("one two three", 3), _split_at("one\\ntwo three", 3), _split_at("abcdefghijkl", 3)
    (8, 8, 9)
    """
    size = int(tokens * BYTES_PER_TOKEN)
    most = max(1, len(text[:size].encode("utf-8", "replace")[:size].decode("utf-8", "ignore")))
    for separator in ("\n", " "):
        at = text.rfind(separator, most // 2, most)
        if at >= 0:
            return at + 1
    return most
