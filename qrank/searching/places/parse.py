"""Parsing places as qrank and other tools print them (`notes/todo.md:1-6`, `a.pdf#page=2`), and
selecting the chunks of a file that are there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from qrank.results import IndexedChunk

_LINES = re.compile(r"(?P<path>.+?):(?P<first>\d{1,9})(?:[-–](?P<last>\d{1,9})|(?::\d{1,9})?):?")
_PAGE = re.compile(
    r"(?P<path>.+?)(?:#page=|:\d+(?:[-–]\d+)? \((?:page|slide|sheet) )(?P<page>\d{1,9})\)?"
)
LAST = 10**9


class Place(NamedTuple):
    """A file, and lines (from 1, first and last included) or a page of it."""

    path: str
    first: int = 1
    last: int = LAST
    page: int | None = None


def parse_place(text: str) -> Place:
    """Parse PATH, PATH:LINE, PATH:LINE:COLUMN, PATH:FROM-TO, PATH#page=N, or a place as a search
    prints it.

    >>> parse_place("a.md:3-9")[:3], parse_place("a.md:3:7")[:3], parse_place("b.pdf#page=2").page
    (('a.md', 3, 9), ('a.md', 3, 3), 2)
    """
    if match := _PAGE.fullmatch(text):
        return Place(match["path"], page=int(match["page"]))
    if match := _LINES.fullmatch(text):
        first = int(match["first"])
        return Place(match["path"], first, int(match["last"] or first))
    return Place(text)


def within(chunks: Sequence[IndexedChunk], place: Place) -> list[IndexedChunk]:
    """The chunks of a file that are on the place's page, or overlap its lines; the latter without
    their other lines, if their lines are lines of the file (not of a PDF, for instance)."""
    if place.page is not None:
        return [chunk for chunk in chunks if chunk.page == place.page]
    return list(_clipped(chunks, place.first, place.last))


def _clipped(chunks: Sequence[IndexedChunk], first: int, last: int) -> Iterator[IndexedChunk]:
    for chunk in chunks:
        start, end = chunk.start_line, chunk.end_line
        if end < first or start > last:
            continue
        rows = chunk.text.split("\n")
        if (start >= first and end <= last) or len(rows) != end - start + 1:
            yield chunk
            continue
        low, high = max(0, first - start), min(last, end) - start
        text = "\n".join(rows[low : high + 1])
        before = len("\n".join([*rows[:low], ""]).encode("utf-8", "surrogatepass"))
        begin = chunk.start_byte + before
        yield replace(
            chunk,
            text=text,
            start_line=start + low,
            end_line=start + high,
            start_byte=begin,
            end_byte=begin + len(text.encode("utf-8", "surrogatepass")),
        )
