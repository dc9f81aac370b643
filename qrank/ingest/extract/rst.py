"""reStructuredText: paragraphs under the section titles above them.

A title is a line of text with a line of one punctuation character below it, and optionally above.
The level of a style is the order of its first use (docutils, "Sections").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from qrank.ingest.extract import plain
from qrank.ingest.extract.building import MAX_HEADING
from qrank.results import Block

# A line above or below a title. Possessive, so that long other lines take linear time.
_RULE = re.compile(r"(([!-/:-@\[-`{-~])\2{2,}+)[ \t]*+")


class _Title(NamedTuple):
    """A section's title. start: its offset, including the line above it; over, under: the lines
    above ("" for none) and below it."""

    start: int
    over: str
    name: str
    under: str


def extract(text: str, _suffix: str = "") -> tuple[str, list[Block], Mapping[str, object]]:
    """Return (title, blocks, {}); the title is that of the first section.

    >>> [b.heading for b in extract("Tea\\n===\\n\\nSteep.\\n\\nGreen\\n-----\\n\\n80 °C\\n")[1]]
    [('Tea',), ('Tea', 'Green')]
    """
    if "\r" in text:
        text = text.replace("\r\n", " \n").replace("\r", "\n")  # same length: offsets hold
    titles = [title for title in _titles(text) if _long_enough(title)]
    styles: list[tuple[str, bool]] = []
    path: list[str] = []
    blocks: list[Block] = []
    first = ""
    starts = [*(title.start for title in titles), len(text)]
    _add(blocks, text, 0, starts[0], ())
    for title, end in zip(titles, starts[1:], strict=True):
        style = (title.under[0], bool(title.over))
        if style not in styles:
            styles.append(style)
        name = " ".join(title.name.split())[:MAX_HEADING]
        path = [*path[: styles.index(style)], name]
        first = first or name
        _add(blocks, text, title.start, end, tuple(path))
    return first, blocks, {}


def _titles(text: str) -> Iterator[_Title]:
    """Yield candidates for titles, in order and without overlap."""
    lines = text.split("\n")
    at = i = 0
    while i < len(lines) - 1:
        over = _rule(lines[i])
        if over and lines[i + 1].strip() and (under := _rule("".join(lines[i + 2 : i + 3]))):
            title, used = _Title(at, over, lines[i + 1].strip(), under), 3
        elif lines[i].strip() and (under := _rule(lines[i + 1])):
            title, used = _Title(at, "", lines[i].strip(), under), 2
        else:
            title, used = None, 1
        if title:
            yield title
        at += sum(map(len, lines[i : i + used])) + used
        i += used


def _rule(line: str) -> str:
    """The punctuation of a line that is above or below a title; empty for any other line."""
    match = _RULE.fullmatch(line)
    return match[1] if match else ""


def _long_enough(title: _Title) -> bool:
    return len(title.under) >= min(len(title.name), 200) and title.over in ("", title.under)


def _add(blocks: list[Block], text: str, start: int, end: int, heading: tuple[str, ...]) -> None:
    """Add the paragraphs between two titles; a title is merged with the paragraph below it."""
    inner = plain.extract(text[start:end])[1]
    if heading and len(inner) > 1:
        inner = [inner[0]._replace(end=inner[1].end), *inner[2:]]
    blocks += [Block(start + b.start, start + b.end, heading) for b in inner]
