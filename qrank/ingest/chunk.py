"""Blocks -> chunks: neighbours are packed up to a size, what is too long is split at sentences.

Sizes are tokens by an estimate, docs/ingest.md has what it was measured on: llama.cpp's own
tokenisers read 1 to 2 MB a second, too slow for all that is indexed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from qrank.ingest.decode import line_end
from qrank.results import Block, Chunk, Document

VERSION = 5  # part of the index: a change makes every file be chunked again
MAX_TOKENS = 300  # what a reranker on a CPU can read thirty of
MIN_TOKENS = 80  # below this a section joins the next one

# What ends a sentence (group 1), and the blanks after it. It begins with one set of characters, so
# that `re` jumps from one to the next; a line end ends the sentence before it.
_SENTENCE_END = re.compile(
    r"([.!?…。！？\n](?:(?<=\n)\n*|(?<=[。！？])|[\"'”’)\]]*(?=\s)))(?:(?<!\n)\s+)?"
)
_BLANKS = re.compile(r"\s+")
# What a full stop follows without ending a sentence: a title or the like, an initial, "e.g.".
_TITLE = re.compile(r"(?:mr|mrs|ms|dr|prof|st|vs|cf|al|fig|eq|vgl|bzw|[^\W\d_])\Z", re.IGNORECASE)
_INNER_STOP = re.compile(r"\.[^\W\d_]{1,2}\Z")
_LAST_WORD = 8  # characters before a full stop that tell
Span = tuple[int, int]


def bytes_per_token(text: str) -> float:
    """How many bytes of UTF-8 of a text make a token, by its share of characters beyond ASCII.

    English and most scripts of their own: 4; Latin script with accents (French, Czech, …): 3.2.

    >>> bytes_per_token("plain"), bytes_per_token("déjà vu"), bytes_per_token("привет")
    (4.0, 3.2, 4.0)
    """
    excess = _size(text) / max(1, len(text)) - 1  # a dash or a quote here and there says nothing
    return 3.2 if 0.006 < excess < 0.3 else 4.0


def estimated_tokens(text: str) -> int:
    """About how many tokens a text is, whatever the model."""
    return round(_size(text) / bytes_per_token(text))


def chunk(
    document: Document, max_tokens: int = MAX_TOKENS, min_tokens: int = MIN_TOKENS
) -> list[Chunk]:
    """The chunks of a document, as `chunk_parts` cuts it."""
    return [made for made, _ in chunk_parts(document, max_tokens, min_tokens)]


def chunk_parts(
    document: Document, max_tokens: int = MAX_TOKENS, min_tokens: int = MIN_TOKENS
) -> list[tuple[Chunk, int]]:
    """Cut a document into chunks of about max_tokens at most, in order and without overlap.

    Every non-space character that lies in a block is in exactly one chunk. A word is cut only
    when it is longer than a chunk by itself. A chunk never spans two parts (pages, rows); the
    number of its part comes with it.
    """
    text = document.text
    ratio = bytes_per_token(text)
    limit, least = int(max_tokens * ratio), int(min_tokens * ratio)
    ascii_only = text.isascii()
    chunks: list[tuple[Chunk, int]] = []
    place = _Place(document, ascii_only)
    group: list[Block] = []
    start = size = 0
    for block in _within(document.blocks, text, limit, ascii_only):
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
            place.add(group, chunks)
        group = [block]
        start = block.start
        size = block.end - start if ascii_only else _size(text[start : block.end])
    if group:
        place.add(group, chunks)
    return chunks


def _within(blocks: list[Block], text: str, limit: int, ascii_only: bool) -> Iterator[Block]:
    """The blocks, each too long one in pieces."""
    for block in blocks:
        start, end = block.start, block.end
        if end - start <= limit and (ascii_only or _size(text[start:end]) <= limit):
            yield block
            continue
        for s, e in split(text, start, end, limit):
            yield block._replace(start=s, end=e)


def split(text: str, start: int, end: int, max_bytes: int) -> list[Span]:
    """Cut text[start:end] into spans of at most max_bytes, at sentence ends where possible.

    >>> split("One two. Three four five.", 0, 25, 12)
    [(0, 8), (9, 19), (20, 25)]
    """
    spans: list[Span] = []
    while start < end:
        limit = _furthest(text, start, end, max_bytes)
        stop = following = end
        if limit < end:
            cut = _last_sentence_end(text, start, limit, end)
            if cut and cut[0] - start < (limit - start) / 2:  # a heading before a long sentence?
                far = _furthest(text, cut[1], end, max_bytes)
                if far < end and not _last_sentence_end(text, cut[1], far, end):
                    cut = None  # that has to be cut anyway: here
            stop, following = cut or _last_word_end(text, start, limit, end)
        if stop > start:
            spans.append((start, stop))
        start = following
    return spans


def _furthest(text: str, start: int, end: int, max_bytes: int) -> int:
    """How far from start max_bytes reach, a character at least."""
    window = text[start : min(end, start + max_bytes)]  # a character is one byte at least
    if not window.isascii():
        window = window.encode()[:max_bytes].decode("utf-8", "ignore")
    return start + max(1, len(window))


def _last_sentence_end(text: str, start: int, limit: int, end: int) -> Span | None:
    """Where the last sentence that ends by limit ends, and the next begins."""
    for begin in (limit - (limit - start) // 4, start):  # most often it is near
        for match in reversed([*_SENTENCE_END.finditer(text, begin, limit + 1)]):
            stop = match.start() if text[match.start()] == "\n" else match.end(1)
            if start < stop <= limit and not _goes_on(text, match):
                whole = _SENTENCE_END.match(text, match.start(), end)
                return stop, whole.end() if whole else stop
    return None


def _goes_on(text: str, end: re.Match[str]) -> bool:
    """Whether a sentence goes on after what looks like its end.

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
    """The same of words; limit twice when one word reaches there."""
    last = None
    for match in _BLANKS.finditer(text, start, limit + 1):
        if match.start() > start or match.end() <= limit:
            last = match
    if last and (whole := _BLANKS.match(text, last.start(), end)):
        return last.start(), whole.end()
    return limit, limit


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8"))


class _Place:
    """Turns groups of blocks, in order, into chunks with their bytes and lines."""

    def __init__(self, document: Document, ascii_only: bool) -> None:
        self._document = document
        self._size = len if ascii_only else _size
        self._line_end = line_end(document.text)
        self._at = 0  # characters, bytes and line ends counted so far
        self._byte = document.offset
        self._line = document.line

    def add(self, group: list[Block], chunks: list[tuple[Chunk, int]]) -> None:
        """Append the chunk of a group, unless it is blank; blank edges are dropped."""
        text = self._document.text
        start, end = group[0].start, group[-1].end
        body = text[start:end].rstrip()
        stripped = body.lstrip()
        if not stripped:
            return
        # Leading blank lines go, the indentation of the first line stays.
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
        made = Chunk(
            body,
            " > ".join(heading),
            start_byte,
            end_byte,
            lines[first] if lines else first + 1,
            lines[last] if lines else last + 1,
            group[0].page,
        )
        chunks.append((made, group[0].part))


def _common(headings: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The headings that all blocks of a chunk are under which have one (front matter has none), or
    those of the first of them."""
    named = [names for names in headings if names]
    shared: list[str] = []
    for names in zip(*named, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    return tuple(shared) or named[0]
