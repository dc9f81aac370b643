"""Blocks -> chunks: neighbours are packed up to a size, what is too long is split at sentences.

Sizes are bytes of UTF-8: whatever the script, a token of the Qwen vocabulary is 3 to 4.5 of them
(English 4.2, Russian 4.6, Arabic 4.3, Chinese 4.1, Japanese 4.1, German 3.6, code 3.6, French 3.1,
Hindi 2.7: counted on sample_corpus).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from qrank.results import Block, Chunk, Document

VERSION = 1  # part of the index: a change makes every file be chunked again
MAX_BYTES = 1200  # about 300 tokens: what a reranker on a CPU can read thirty of
MIN_BYTES = 320  # below this a section joins the next one

_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])|\n+")
_SPACE = re.compile(r"\s+")


def chunk(
    document: Document, max_bytes: int = MAX_BYTES, min_bytes: int = MIN_BYTES
) -> list[Chunk]:
    """Cut a document into chunks of at most max_bytes, in order and without overlap.

    Every non-space character that lies in a block is in exactly one chunk. A word is cut only
    when it is longer than max_bytes by itself.
    """
    text = document.text
    groups: list[list[Block]] = []
    size = 0
    for block in _within(document.blocks, text, max_bytes):
        longer = size + _size(text[groups[-1][-1].end : block.end]) if groups else 0
        if (
            groups
            and longer <= max_bytes
            and (block.heading == groups[-1][-1].heading or size < min_bytes)
        ):
            groups[-1].append(block)
            size = longer
        else:
            groups.append([block])
            size = _size(text[block.start : block.end])
    return list(_placed(document, groups))


def _within(blocks: list[Block], text: str, max_bytes: int) -> Iterator[Block]:
    """The blocks, each too long one in pieces."""
    for block in blocks:
        for start, end in split(text, block.start, block.end, max_bytes):
            yield Block(start, end, block.heading)


def split(text: str, start: int, end: int, max_bytes: int) -> list[tuple[int, int]]:
    """Cut text[start:end] into spans of at most max_bytes, at sentence ends where possible.

    >>> split("One two. Three four five.", 0, 25, 12)
    [(0, 8), (9, 19), (20, 25)]
    """
    spans: list[tuple[int, int]] = []
    open_start = open_end = start  # the span that is being filled
    for sentence_start, sentence_end in _pieces(text, start, end, _SENTENCE_END):
        for s, e in _fitting(text, sentence_start, sentence_end, max_bytes):
            if open_end > open_start and _size(text[open_start:e]) > max_bytes:
                spans.append((open_start, open_end))
                open_start = s
            elif open_end == open_start:
                open_start = s
            open_end = e
    if open_end > open_start:
        spans.append((open_start, open_end))
    return spans


def _fitting(text: str, start: int, end: int, max_bytes: int) -> Iterator[tuple[int, int]]:
    """A sentence as it is, or its words when it is too long, or their parts when they are."""
    if _size(text[start:end]) <= max_bytes:
        yield start, end
        return
    for s, e in _pieces(text, start, end, _SPACE):
        while _size(text[s:e]) > max_bytes:
            cut = s + len(text[s:e].encode()[:max_bytes].decode("utf-8", "ignore"))
            cut = max(cut, s + 1)
            yield s, cut
            s = cut
        if e > s:
            yield s, e


def _pieces(
    text: str, start: int, end: int, separator: re.Pattern[str]
) -> Iterator[tuple[int, int]]:
    at = start
    for match in separator.finditer(text, start, end):
        if match.start() > at:
            yield at, match.start()
        at = match.end()
    if end > at:
        yield at, end


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8"))


def _placed(document: Document, groups: list[list[Block]]) -> Iterator[Chunk]:
    """Groups of blocks as chunks, with their bytes and lines; blank edges are dropped."""
    text = document.text
    newlines = [match.start() for match in re.finditer("\n", text)]
    at, at_byte = 0, document.offset  # characters and bytes counted so far
    for group in groups:
        start, end = group[0].start, group[-1].end
        body = text[start:end]
        stripped = body.lstrip()
        if not stripped:
            continue
        # Leading blank lines go, the indentation of the first line stays.
        lead = body[: len(body) - len(stripped)]
        start += lead.rfind("\n") + 1
        end = start + len(text[start:end].rstrip())
        at_byte += _size(text[at:start])
        length = _size(text[start:end])
        yield Chunk(
            text=text[start:end],
            heading=" > ".join(_common([block.heading for block in group])),
            start_byte=at_byte,
            end_byte=at_byte + length,
            start_line=bisect_right(newlines, start - 1) + 1,
            end_line=bisect_right(newlines, end - 2) + 1,
        )
        at, at_byte = end, at_byte + length


def _common(headings: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The headings that all blocks of a chunk are under, or those of the last if there are none."""
    shared: list[str] = []
    for names in zip(*headings, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    return tuple(shared) or headings[-1]
