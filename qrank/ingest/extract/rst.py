"""reStructuredText: paragraphs under the section titles above them.

A title is a line of text with a line of one punctuation character below it, and maybe above; a
section's level is the order in which its style was first seen (docutils, "Sections").
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from qrank.ingest.extract import plain
from qrank.ingest.extract.building import MAX_HEADING
from qrank.results import Block

_TITLE = re.compile(
    r"^(?P<over>([!-/:-@\[-`{-~])\2{2,})?[ \t]*(?(over)\n)"
    r"(?P<name>[^\n]*\S[^\n]*)\n(?P<under>([!-/:-@\[-`{-~])\5{2,})[ \t]*$",
    re.MULTILINE,
)


def extract(text: str, _suffix: str = "") -> tuple[str, list[Block], Mapping[str, object]]:
    """Return (title, blocks, {}); the title is that of the first section.

    >>> [b.heading for b in extract("Tea\\n===\\n\\nSteep.\\n\\nGreen\\n-----\\n\\n80 °C\\n")[1]]
    [('Tea',), ('Tea', 'Green')]
    """
    if "\r" in text:
        text = text.replace("\r\n", " \n").replace("\r", "\n")  # same length: offsets hold
    titles = [found for found in _TITLE.finditer(text) if _long_enough(found)]
    styles: list[tuple[str, bool]] = []
    path: list[str] = []
    blocks: list[Block] = []
    first = ""
    starts = [*(found.start() for found in titles), len(text)]
    _add(blocks, text, 0, starts[0], ())
    for found, end in zip(titles, starts[1:], strict=True):
        style = (found["under"][0], bool(found["over"]))
        if style not in styles:
            styles.append(style)
        name = " ".join(found["name"].split())[:MAX_HEADING]
        path = [*path[: styles.index(style)], name]
        first = first or name
        _add(blocks, text, found.start(), end, tuple(path))
    return first, blocks, {}


def _long_enough(found: re.Match[str]) -> bool:
    return len(found["under"]) >= min(len(found["name"].strip()), 200) and (
        found["over"] is None or found["over"] == found["under"]
    )


def _add(blocks: list[Block], text: str, start: int, end: int, heading: tuple[str, ...]) -> None:
    """The paragraphs between two titles; a title stays with the paragraph below it."""
    found = plain.extract(text[start:end])[1]
    if heading and len(found) > 1:
        found = [found[0]._replace(end=found[1].end), *found[2:]]
    blocks += [Block(start + b.start, start + b.end, heading) for b in found]
