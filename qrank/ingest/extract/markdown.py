"""Markdown: blocks as CommonMark sees them at the outermost level, each under its headings.

Only where blocks begin and end matters here, so one regular expression finds the lines that say
so, thirty times as fast as a full parser (which the tests compare it with).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from qrank.ingest.extract import front_matter
from qrank.results import Block

MAX_HEADING = 200  # characters: each chunk below repeats it
# A line that ends a block or is one; each alternative starts at the line's own start.
_LINE = re.compile(
    r"\n(?=[\n\s#`~=<*+\-0-9]|\Z)(?:"
    r"(?P<blank>[ \t]*(?=\n|\Z))"
    r"|(?P<heading> {0,3}#{1,6}(?:[ \t][^\n]*)?(?=\n|\Z))"
    r"|(?P<fence>[ \t]*(?:`{3,}(?=[^`\n]*(?:\n|\Z))|~{3,}))"
    r"|(?P<under> {0,3}(?:=+|-+)[ \t]*(?=\n|\Z))"
    r"|(?P<html> {0,3}<(?:!--|(?i:pre|script|style|textarea)\b))"
    r"|(?P<item>[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t])"
    r")"
)
_HTML_END = re.compile(r"-->|</(?:pre|script|style|textarea)>", re.IGNORECASE)
_CLOSING = re.compile(r"(?:[ \t]+#+)?[ \t]*\Z")


def extract(text: str, _suffix: str = "") -> tuple[str, list[Block], Mapping[str, object]]:
    """Return (title, blocks, fields); the title is the front matter's, else the first top heading.

    >>> extract("# Tea\\n\\nSteep.\\n\\n## Green\\n\\n- 80 °C\\n- 2 min\\n")[1][-1]
    Block(start=33, end=41, heading=('Tea', 'Green'), page=None, part=0)
    """
    if "\r" in text:
        text = text.replace("\r\n", " \n").replace("\r", "\n")  # same length: offsets hold
    fields, body = front_matter.read(text)
    blocks = [Block(0, body)] if body else []
    scan = _Scan(text, body, blocks)
    scan.run()
    title = " ".join(str(fields.get("title") or "").split())[:MAX_HEADING]
    return title or scan.first_heading, blocks, fields


class _Scan:
    """Goes over the lines; a block takes in what lies before it: its heading, blank lines."""

    def __init__(self, text: str, body: int, blocks: list[Block]) -> None:
        self._text = "\n" + text[body:]  # so that the first line begins like the others
        self._shift = body - 1
        self._blocks = blocks
        self._done = body
        self._path: list[tuple[int, str]] = []  # (level, heading)
        self._heading: tuple[str, ...] = ()
        self.first_heading = ""

    def run(self) -> None:
        """Fill the list of blocks."""
        text, shift, blocks = self._text, self._shift, self._blocks
        at = 0
        open_from = -1  # where the paragraph that is being read begins, -1: there is none
        in_item = False
        end_of_text = len(text)
        search = _LINE.search
        while match := search(text, at):
            kind = match.lastgroup
            start = match.start()
            if open_from < 0 and start > at:
                open_from, in_item = at + 1, False
            at = match.end()
            if kind == "under" and open_from >= 0 and not in_item:  # else it is a rule
                self._set_heading(1 if "=" in match[0] else 2, text[open_from:start])
                open_from = -1
                continue
            if open_from >= 0:
                self._close(start + 1 + shift)
                open_from = -1
            if kind == "heading":
                marks = match[0].strip().partition(" ")[0].partition("\t")[0]
                name = match[0].strip()[len(marks) :]
                self._set_heading(len(marks), _CLOSING.sub("", name))
            elif kind == "fence":
                mark = match[0].strip()
                close = re.compile(rf"\n[ \t>]*{mark[0]}{{{len(mark)},}}[ \t]*(?=\n|\Z)")
                ended = close.search(text, at)
                at = ended.end() if ended else end_of_text
                self._close(at + 1 + shift)
            elif kind == "html":
                ended = _HTML_END.search(text, at)
                at = text.find("\n", ended.end()) if ended else end_of_text
                at = at if at >= 0 else end_of_text
                self._close(at + 1 + shift)
            elif kind in ("item", "under"):
                open_from, in_item = start + 1, True
        if text[self._done - shift :].strip():
            blocks.append(Block(self._done, end_of_text + shift, self._heading))

    def _close(self, end: int) -> None:
        end = min(end, len(self._text) + self._shift)
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
