"""Markdown: the blocks of CommonMark (pulldown-cmark, through pyromark), each under the headings
above it that are not in a list or block quote."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from qrank.errors import ExtractError
from qrank.ingest.extract import front_matter
from qrank.ingest.extract.building import Builder
from qrank.results import Block

if TYPE_CHECKING:
    from pyromark.event import Event

MAX_HEADING = 200  # characters; each chunk below repeats it
_NOT_BLANK = re.compile(r"\S")
_CONTAINERS = ("BlockQuote", "List", "Item")
_CONTENT = ("Paragraph", "CodeBlock", "HtmlBlock", "Table", "Item")  # a block ends where one does


def extract(text: str, _suffix: str = "") -> tuple[str, list[Block], Mapping[str, object]]:
    """Return (title, blocks, fields); the title is the front matter's, else the first heading of
    level 1. Raises ExtractError.

    >>> extract("# Tea\\n\\nSteep.\\n\\n## *Green*\\n\\n- 80 °C\\n- 2 min\\n")[1][-1]
    Block(start=35, end=43, heading=('Tea', 'Green'), page=None, part=0)
    """
    fields, body = front_matter.read(text)
    blocks = [Block(0, body)] if body else []
    scan = _scanned(text, body, blocks)
    title = " ".join(str(fields.get("title") or "").split())[:MAX_HEADING]
    return title or scan.first_heading, blocks, fields


def add(builder: Builder, text: str) -> None:
    """Add a Markdown text with its headings to a document of another format."""
    blocks: list[Block] = []
    headings = deque(_scanned(text, 0, blocks).headings)
    for block in blocks:
        start = block.start
        while headings and headings[0].end <= block.end:
            heading = headings.popleft()
            builder.paragraph(text[start : heading.start])
            builder.heading(heading.level, heading.name)
            start = heading.end
        builder.paragraph(text[start : block.end])


def _scanned(text: str, body: int, blocks: list[Block]) -> _Scan:
    scan = _Scan(text, body, blocks)
    try:
        scan.run()
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Rust; not a subclass of Exception
            raise
        raise ExtractError("its parser failed") from error
    return scan


class Heading(NamedTuple):
    """A heading; start, end: of its lines, in characters."""

    start: int
    end: int
    level: int
    name: str


class _Scan:
    """Makes blocks from the parser's events. A block includes the heading and blank lines before
    it."""

    def __init__(self, text: str, body: int, blocks: list[Block]) -> None:
        self._text = text
        self._blocks = blocks
        self._done = body  # characters up to here are in blocks
        self._data = text[body:].encode("utf-8", "replace")
        self._byte, self._at = 0, body  # a position in bytes from body, and in characters
        self._line, self._seen = body, body  # the last line start before _seen, and _seen
        self._path: list[tuple[int, str]] = []  # (level, heading)
        self._heading: tuple[str, ...] = ()
        self.headings: list[Heading] = []
        self.first_heading = ""

    def run(self) -> None:
        """Fill the list of blocks."""
        import pyromark

        depth = start = 0  # of nested containers; start of a heading
        name: list[str] | None = None  # the pieces of the current heading
        source = self._data.decode("utf-8")
        for event, place in pyromark.events_with_range(
            source, options=pyromark.Options.ENABLE_TABLES
        ):
            if name is None and "Text" in event:  # most are: {"Text": …}
                continue
            sort, what, level = _parts(event)
            if sort == "Start":
                if what == "Heading" and not depth:
                    name = []
                    start = self._place(place["start"])
                elif what == "List" and depth:  # a nested list ends the text of its item
                    self._close(self._line_start(self._place(place["start"])))
                depth += what in _CONTAINERS
            elif sort == "End":
                depth -= what in _CONTAINERS
                if what == "Heading" and name is not None:
                    line, end = "".join(name), self._place(place["end"])
                    self._set_heading(int(level[1]), line)
                    self.headings.append(Heading(start, end, int(level[1]), line))
                    name = None
                elif what in _CONTENT:
                    self._close(self._line_end(self._place(place["end"])))
            elif sort == "Rule":
                self._close(self._line_end(self._place(place["end"])))
            elif name is not None:
                name.append(what if sort in ("Text", "Code") else " " * (sort != "InlineHtml"))
        if self._text[self._done :].strip():
            self._blocks.append(Block(self._done, len(self._text), self._heading))

    def _place(self, byte: int) -> int:
        """Convert a position in bytes to characters; positions must be ascending."""
        self._at += len(self._data[self._byte : byte].decode("utf-8", "ignore"))
        self._byte = byte
        return self._at

    def _line_start(self, at: int) -> int:
        """The start of the line of at, if there is only whitespace before at; else _done."""
        self._line = self._text.rfind("\n", self._seen, at) + 1 or self._line
        self._seen = at
        start = max(self._line, self._done)
        return self._done if _NOT_BLANK.search(self._text, start, at) else start

    def _line_end(self, at: int) -> int:
        """The position after the next line end."""
        if self._text[at - 1] in "\r\n":
            return at
        end = self._text.find("\n", at)
        return end + 1 if end >= 0 else len(self._text)

    def _close(self, end: int) -> None:
        if end > self._done:
            self._blocks.append(Block(self._done, end, self._heading))
            self._done = end

    def _set_heading(self, level: int, line: str) -> None:
        name = " ".join(line.split())[:MAX_HEADING]
        self._path = [(above, text) for above, text in self._path if above < level]
        self._path.append((level, name))
        self._heading = tuple(text for _, text in self._path)
        if level == 1 and not self.first_heading:
            self.first_heading = name


def _parts(event: Event) -> tuple[str, str, str]:
    """(kind, element or text, level of a heading) of an event: {"Start": {"Heading": …}}."""
    if isinstance(event, str):
        return event, "", ""
    ((sort, what),) = event.items()
    if not isinstance(what, dict):
        return sort, str(what), ""
    ((element, about),) = what.items()
    return sort, element, about if isinstance(about, str) else ""
