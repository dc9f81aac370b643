"""Splitting documents into chunks: adjacent blocks are merged up to a size, long ones are split at
sentences.

Sizes are estimated tokens (docs/ingest.md says how the estimate was measured): llama.cpp's
tokenizers read 1 to 2 MB per second, which is too slow for everything that is indexed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from qrank.ingest.decode import line_end
from qrank.results import Block, Chunk, Document

VERSION = 5  # stored with documents: after a change every file is read again
MAX_TOKENS = 300  # so that a reranker on a CPU can read thirty chunks
MIN_TOKENS = 80  # a shorter section is merged with the next one

# The end of a sentence (group 1), and the whitespace after it. The pattern starts with a set of
# characters, so that `re` can skip to the next of them. A line end ends the sentence before it.
_SENTENCE_END = re.compile(
    r"([.!?…。！？\n](?:(?<=\n)\n*|(?<=[。！？])|[\"'”’)\]]*(?=\s)))(?:(?<!\n)\s+)?"
)
_BLANKS = re.compile(r"\s+")
# A full stop does not end a sentence after an abbreviated title, an initial, or in "e.g.".
_TITLE = re.compile(r"(?:mr|mrs|ms|dr|prof|st|vs|cf|al|fig|eq|vgl|bzw|[^\W\d_])\Z", re.IGNORECASE)
_INNER_STOP = re.compile(r"\.[^\W\d_]{1,2}\Z")
_LAST_WORD = 8  # characters before a full stop that are compared with these
Span = tuple[int, int]


def bytes_per_token(text: str) -> float:
    """Bytes of UTF-8 per token, estimated by the share of characters beyond ASCII: 3.2 for Latin
    script with accents (French, Czech, …), 4 for English and other scripts.

    >>> bytes_per_token("plain"), bytes_per_token("déjà vu"), bytes_per_token("привет")
    (4.0, 3.2, 4.0)
    """
    excess = _size(text) / max(1, len(text)) - 1  # up to 0.006: some dashes and quotes
    return 3.2 if 0.006 < excess < 0.3 else 4.0


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has; models differ."""
    return round(_size(text) / bytes_per_token(text))


def chunk(
    document: Document, max_tokens: int = MAX_TOKENS, min_tokens: int = MIN_TOKENS
) -> list[Chunk]:
    """The chunks of a document, see `chunk_parts`."""
    return [piece for piece, _ in chunk_parts(document, max_tokens, min_tokens)]


def chunk_parts(
    document: Document, max_tokens: int = MAX_TOKENS, min_tokens: int = MIN_TOKENS
) -> list[tuple[Chunk, int]]:
    """Split a document into (chunk, number of its part), in order and without overlap; chunks have
    about max_tokens at most.

    Every non-space character in a block is in exactly one chunk. A word is only split when it is
    longer than a chunk. A chunk never spans two parts (pages, rows).
    """
    text = document.text
    ratio = bytes_per_token(text)
    limit, least = int(max_tokens * ratio), int(min_tokens * ratio)
    ascii_only = text.isascii()
    chunks: list[tuple[Chunk, int]] = []
    builder = _Builder(document, ascii_only)
    group: list[Block] = []
    start = size = 0
    for block in _split_blocks(document.blocks, text, limit, ascii_only):
        if group:
            last = group[-1]
            added = text[last.end : block.end]
            longer = size + (len(added) if ascii_only else _size(added))
            if (
                longer <= limit
                and (block.heading == last.heading or size < least)
                and block.part == last.part
            ):
                group.append(block)
                size = longer
                continue
            builder.add(group, chunks)
        group = [block]
        start = block.start
        size = block.end - start if ascii_only else _size(text[start : block.end])
    if group:
        builder.add(group, chunks)
    return chunks


def _split_blocks(blocks: list[Block], text: str, limit: int, ascii_only: bool) -> Iterator[Block]:
    """Yield blocks, those longer than limit bytes in pieces."""
    for block in blocks:
        start, end = block.start, block.end
        if end - start <= limit and (ascii_only or _size(text[start:end]) <= limit):
            yield block
            continue
        for s, e in split(text, start, end, limit):
            yield block._replace(start=s, end=e)


def split(text: str, start: int, end: int, max_bytes: int) -> list[Span]:
    """Split text[start:end] into spans of at most max_bytes of UTF-8, at sentence ends where
    possible.

    >>> split("One two. Three four five.", 0, 25, 12)
    [(0, 8), (9, 19), (20, 25)]
    """
    spans: list[Span] = []
    while start < end:
        limit = _furthest(text, start, end, max_bytes)
        stop = following = end
        if limit < end:
            boundary = _last_sentence_end(text, start, limit, end)
            if boundary and boundary[0] - start < (limit - start) / 2:
                # A short piece: if the next sentence must be split anyway, split it here.
                far = _furthest(text, boundary[1], end, max_bytes)
                if far < end and not _last_sentence_end(text, boundary[1], far, end):
                    boundary = None
            stop, following = boundary or _last_word_end(text, start, limit, end)
        if stop > start:
            spans.append((start, stop))
        start = following
    return spans


def _furthest(text: str, start: int, end: int, max_bytes: int) -> int:
    """The end of the longest span from start of at most max_bytes, but at least one character."""
    window = text[start : min(end, start + max_bytes)]  # a character has one byte or more
    if not window.isascii():
        window = window.encode()[:max_bytes].decode("utf-8", "ignore")
    return start + max(1, len(window))


def _last_sentence_end(text: str, start: int, limit: int, end: int) -> Span | None:
    """(end of the last sentence that ends by limit, start of the next)."""
    for begin in (limit - (limit - start) // 4, start):  # usually it is in the last quarter
        for match in reversed([*_SENTENCE_END.finditer(text, begin, limit + 1)]):
            stop = match.start() if text[match.start()] == "\n" else match.end(1)
            if start < stop <= limit and not _goes_on(text, match):
                whole = _SENTENCE_END.match(text, match.start(), end)
                return stop, whole.end() if whole else stop
    return None


def _goes_on(text: str, end: re.Match[str]) -> bool:
    """Whether a sentence continues after a match of _SENTENCE_END, as after an abbreviation.

    >>> [_goes_on(text, _SENTENCE_END.search(text)) for text in ("see Dr. No", "tea. But")]
    [True, False]
    """
    at = end.start()
    if text[at] != ".":
        return False
    before = re.split(r"[^\w.]", text[max(0, at - _LAST_WORD) : at])[-1]
    following = text[end.end() : end.end() + 1]
    return bool(_TITLE.match(before) or (_INNER_STOP.search(before) and following.islower()))


def _last_word_end(text: str, start: int, limit: int, end: int) -> Span:
    """(end of the last word that ends by limit, start of the next); (limit, limit) when one word
    is longer."""
    last = None
    for match in _BLANKS.finditer(text, start, limit + 1):
        if match.start() > start or match.end() <= limit:
            last = match
    if last and (whole := _BLANKS.match(text, last.start(), end)):
        return last.start(), whole.end()
    return limit, limit


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8"))


class _Builder:
    """Makes chunks from groups of blocks, in order, and counts their bytes and lines."""

    def __init__(self, document: Document, ascii_only: bool) -> None:
        self._document = document
        self._size = len if ascii_only else _size
        self._line_end = line_end(document.text)
        self._at = 0  # the position up to which bytes and lines were counted, in characters
        self._byte = document.offset
        self._line = document.line

    def add(self, group: list[Block], chunks: list[tuple[Chunk, int]]) -> None:
        """Append the chunk of a group to chunks, unless it is blank."""
        text = self._document.text
        start, end = group[0].start, group[-1].end
        body = text[start:end].rstrip()
        stripped = body.lstrip()
        if not stripped:
            return
        # Drop leading blank lines, keep the indentation of the first line.
        lead = len(body) - len(stripped)
        if lead:
            lead = max(body.rfind("\n", 0, lead), body.rfind("\r", 0, lead)) + 1
            body = body[lead:]
        start += lead
        gap = text[self._at : start]
        first = self._line + gap.count(self._line_end)
        last = first + body.count(self._line_end)
        start_byte = self._byte + self._size(gap)
        end_byte = start_byte + self._size(body)
        self._at, self._byte, self._line = start + len(body), end_byte, last
        lines = self._document.lines
        heading = group[0].heading
        if len(group) > 1 and group[-1].heading != heading:
            heading = _common([block.heading for block in group])
        chunk = Chunk(
            body,
            " > ".join(heading),
            start_byte,
            end_byte,
            lines[first] if lines else first + 1,
            lines[last] if lines else last + 1,
            group[0].page,
        )
        chunks.append((chunk, group[0].part))


def _common(headings: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The common headings of the blocks of a chunk that have any (front matter has none); without
    common ones, those of the first block that has some."""
    named = [names for names in headings if names]
    shared: list[str] = []
    for names in zip(*named, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    return tuple(shared) or named[0]
