"""Assigning headings to paragraphs, for text formats whose headings are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qrank.ingest.extract import plain
from qrank.results import Block


class Heading(NamedTuple):
    """A heading; start: the offset of its section, which includes it; level: lower for outer
    ones."""

    start: int
    level: int
    name: str


def under_headings(text: str, headings: Sequence[Heading], body: int = 0) -> list[Block]:
    """The paragraphs of a text, each under the headings above it; body: the offset of the end of a
    preamble, which is a part of its own."""
    blocks: list[Block] = []
    path: list[Heading] = []
    starts = [*(heading.start for heading in headings), len(text)]
    _add(blocks, text, 0, starts[0], (), body)
    for heading, end in zip(headings, starts[1:], strict=True):
        path = [above for above in path if above.level < heading.level]
        if heading.name:
            path.append(heading)
        names = tuple(each.name for each in path)
        _add(blocks, text, heading.start, end, names, body)
    return blocks


def _add(
    blocks: list[Block], text: str, start: int, end: int, names: tuple[str, ...], body: int
) -> None:
    """Add the paragraphs between two headings; a heading is merged with the paragraph below it."""
    if start < body < end:
        _add(blocks, text, start, body, names, body)
        start = body
    inner = plain.extract(text[start:end])[1]
    if names and len(inner) > 1:
        inner = [inner[0]._replace(end=inner[1].end), *inner[2:]]
    part = int(start >= body)
    blocks += [Block(start + b.start, start + b.end, names, part=part) for b in inner]
