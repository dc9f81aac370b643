"""Markdown: blocks as CommonMark sees them at the outermost level, each under its headings.

Only where blocks begin and end matters here, so one regular expression finds the lines that say
so, about nine times as fast as a full parser (which tests/test_markdown.py compares it with). What
is within a list item or a quotation is not followed deeper than that takes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

from qrank.ingest.extract import front_matter
from qrank.results import Block

MAX_HEADING = 200  # characters: each chunk below repeats it
# A line that ends a block or is one; each alternative starts at the line's own start.
_LINE = re.compile(
    r"\n(?=[\n\s#`~=<>*+\-_0-9]|\Z)(?:"
    r"(?P<blank>[ \t]*(?=\n|\Z))"
    r"|(?P<heading>[ \t]*#{1,6}(?:[ \t][^\n]*)?(?=\n|\Z))"
    r"|(?P<fence>[ \t]*(?:`{3,}(?=[^`\n]*(?:\n|\Z))|~{3,}))"
    r"|(?P<under>[ \t]*(?:=+|-+)[ \t]*(?=\n|\Z))"
    r"|(?P<rule> {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})(?=\n|\Z))"
    r"|(?P<html> {0,3}<(?=[A-Za-z/!?]))"
    r"|(?P<quote> {0,3}>)"
    r"|(?P<item>[ \t]*(?:[-*+]|\d{1,9}[.)])(?=[ \t\n]|\Z))"
    r")"
)
_CLOSING = re.compile(r"(?:[ \t]+#+)?[ \t]*\Z")
_BLANK = re.compile(r"\n[ \t]*(?=\n|\Z)")
_EMPTY = re.compile(r"[ \t]*(?=\n|\Z)")
_DOUBLE = re.compile(r"[ \t]*=+[ \t]*(?=\n|\Z)")
_INDENT = re.compile(r"[ \t]*")
# What stands in a list item or a quotation, behind their marks.
_MARKS = re.compile(r"(?:[ \t]*(?:[-*+]|\d{1,9}[.)])(?=[ \t\n]|\Z)| {0,3}>)*(?P<blanks>[ \t]*)")
_FENCE = re.compile(r"`{3,}(?=[^`\n]*(?:\n|\Z))|~{3,}")
_NO_PARAGRAPH = re.compile(r"\n|\Z|#{1,6}(?=[ \t\n]|\Z)|(?:[-*_][ \t]*){3,}(?=\n|\Z)")
# How HTML blocks begin, and where they end: the sixth and seventh kind at a blank line. (CommonMark
# 0.31, section 4.6)
_ATTRIBUTE = r"""[ \t]+[A-Za-z_:][\w.:-]*(?:[ \t]*=[ \t]*(?:[^\s"'=<>`]+|'[^'\n]*'|"[^"\n]*"))?"""
_BLOCK_TAGS = (
    "address article aside base basefont blockquote body caption center col colgroup dd details "
    "dialog dir div dl dt fieldset figcaption figure footer form frame frameset h[1-6] head header "
    "hr html iframe legend li link main menu menuitem nav noframes ol optgroup option p param "
    "search section summary table tbody td tfoot th thead title tr track ul"
).replace(" ", "|")
_HTML = tuple(
    (re.compile(begin, re.IGNORECASE), re.compile(end, re.IGNORECASE))
    for begin, end in (
        (r"<(?:pre|script|style|textarea)(?=[ \t\n>]|\Z)", "</(?:pre|script|style|textarea)>"),
        ("<!--", "-->"),
        (r"<\?", r"\?>"),
        (r"<!\[CDATA\[", r"\]\]>"),
        ("<![a-z]", ">"),
        (rf"</?(?:{_BLOCK_TAGS})(?=[ \t\n]|/?>|\Z)", _BLANK.pattern),
    )
)
_LONE_TAG = re.compile(
    rf"(?:<[A-Za-z][A-Za-z0-9-]*(?:{_ATTRIBUTE})*[ \t]*/?>|</[A-Za-z][A-Za-z0-9-]*[ \t]*>)"
    r"[ \t]*(?=\n|\Z)"
)
# Code and definitions of links: a line below makes no heading of them.
_NO_TEXT = re.compile(
    r"(?:(?: {4}| {0,3}\t)[^\n]*(?:\n|\Z)"
    r"| {0,3}\[(?:[^\[\]\\\n]|\\.)+\]:[ \t]*\S+"
    r"""(?:[ \t]+(?:"[^"\n]*"|'[^'\n]*'))?[ \t]*(?:\n|\Z))+"""
)
# The second row of a table.
_ROW = re.compile(r" {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")


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
        self._open = -1  # where the paragraph that is being read begins, -1: there is none
        self._nested = False  # it is of a list item or a quotation: what is under it is no heading
        self._quote = -1  # where the quotation began, if that is what is being read
        self._item = 0  # columns by which a line is indented that is of the current list item
        self._sure = self._table = -1  # what is being read, once it is known to be one of these
        self._bare = -1  # where a mark ended that has nothing behind it

    def run(self) -> None:
        """Fill the list of blocks."""
        text = self._text
        kinds = {
            "heading": self._at_heading,
            "fence": self._at_fence,
            "under": self._at_under,
            "rule": self._at_rule,
            "html": self._at_html,
            "quote": self._at_quote,
            "item": self._at_item,
        }
        at = 0
        search = _LINE.search
        while match := search(text, at):
            start = match.start()
            if self._open < 0 and start > at:
                self._begin(at + 1)
            kind = match.lastgroup
            if kind == "blank":
                at = match.end()
                self._end_paragraph(start)
                if start == self._bare:  # the item was empty, and stays so
                    self._item = 0
            elif kind:
                at = kinds[kind](start, match.end(), match[kind])
        if text[self._done - self._shift :].strip():
            self._blocks.append(Block(self._done, len(text) + self._shift, self._heading))

    # What each kind of line does: of its start (before its newline), its end, and what matched;
    # they return where the search goes on.

    def _at_heading(self, start: int, end: int, line: str) -> int:
        if not self._is_inside(start):
            if self._indent(start) > 3:
                return self._plain(start, end)
            self._item = 0
        self._end_paragraph(start)
        if not self._item:
            marks = line.strip().partition(" ")[0].partition("\t")[0]
            self._set_heading(len(marks), _CLOSING.sub("", line.strip()[len(marks) :]))
        return end

    def _at_fence(self, start: int, end: int, line: str) -> int:
        indent = self._indent(start)
        if not self._is_inside(start):
            if indent > 3:
                return self._plain(start, end)
            self._item = 0
        self._end_paragraph(start)
        return self._skip_code(line.strip(), indent, end)

    def _skip_code(self, fence: str, indent: int, at: int) -> int:
        """Go to the end of fenced code, at its closing line or where its list item ends."""
        most = indent + 3 if self._item else 3
        close = rf"[ \t]{{0,{most}}}{fence[0]}{{{len(fence)},}}[ \t]*(?=\n|\Z)"
        out = rf"(?P<out> {{0,{self._item - 1}}}(?=[^ \t\n]))|" if self._item else ""
        ended = re.compile(rf"\n(?:{out}{close})").search(self._text, at)
        end = len(self._text)
        if ended:
            end = ended.start() if ended.lastgroup else ended.end()
        self._close(end + 1 + self._shift)
        return end

    def _at_under(self, start: int, end: int, line: str) -> int:
        marks = line.strip()
        if self._is_inside(start):
            if self._open >= 0:
                self._end_paragraph(start)
                return end
        elif self._indent(start) > 3:
            return self._plain(start, end)
        if self._open >= 0 and not self._nested:
            name = self._paragraph(start)
            if name and not self._is_table(start):
                self._set_heading(1 if "=" in marks else 2, name)
                self._open = -1
                return end
            if not name:
                self._end_paragraph(start)
        if marks[0] == "-" and len(marks) > 2:
            return self._at_rule(start, end, line)
        if marks == "-":
            return self._at_item(start, start + 1 + line.index("-") + 1, line.rstrip())
        return self._plain(start, end)

    def _at_rule(self, start: int, end: int, _line: str) -> int:
        self._end_paragraph(start)
        if not self._is_inside(start):
            self._item = 0
        return end

    def _at_html(self, start: int, end: int, _line: str) -> int:
        if self._is_inside(start):
            return self._plain(start, end)
        text, tag = self._text, end - 1
        finish = next((finish for begin, finish in _HTML if begin.match(text, tag)), None)
        if not finish:
            if self._is_paragraph(start) or not _LONE_TAG.match(text, tag):
                return self._plain(start, end)
            finish = _BLANK
        self._item = 0
        self._end_paragraph(start)
        ended = finish.search(text, tag)
        if not ended:
            end = len(text)
        elif finish.pattern == _BLANK.pattern:
            end = ended.start()
        else:
            end = self._line_end(ended.end())
        self._close(end + 1 + self._shift)
        return end

    def _at_quote(self, start: int, end: int, _line: str) -> int:
        if self._is_inside(start):
            return self._plain(start, end)
        self._item = 0
        goes_on = 0 <= self._quote == self._open
        content = self._content(start) and not (goes_on and _DOUBLE.match(self._text, end))
        if not (goes_on and content):
            self._end_paragraph(start)
        if not content:
            return self._line_end(end)
        if self._open < 0:
            self._open = self._quote = start + 1
        self._nested = True
        return end

    def _at_item(self, start: int, end: int, line: str) -> int:
        text = self._text
        empty = bool(_EMPTY.match(text, end))
        if not self._is_inside(start):
            if self._indent(start) > 3:
                return self._plain(start, end)
            number = line.strip()[:-1]
            weak = empty or number not in ("", "1")
            if weak and not self._nested and self._is_paragraph(start):
                return end  # not enough to end a paragraph
            mark = len(line.expandtabs(4))
            blanks = _INDENT.match(text, end)
            width = len((line + (blanks[0] if blanks else "")).expandtabs(4)) - mark
            self._item = mark + (width if 1 <= width <= 4 and not empty else 1)
        self._end_paragraph(start)
        if empty:
            self._bare = self._line_end(end)
            return self._bare
        marks = _MARKS.match(text, start + 1)
        if marks and (fence := _FENCE.match(text, marks.end())):
            return self._skip_code(fence[0], marks.end() - start - 1, fence.end())
        if self._content(start):
            self._open, self._nested = start + 1, True
        return self._line_end(end)

    # What they have in common

    def _content(self, start: int) -> bool:
        """Whether a paragraph stands in a line, behind the marks of its quotation or list item."""
        marks = _MARKS.match(self._text, start + 1)
        assert marks
        indented = len(marks["blanks"].expandtabs(4)) > 4
        line = (self._text, marks.end())
        return not (indented or _NO_PARAGRAPH.match(*line) or _FENCE.match(*line))

    def _line_end(self, at: int) -> int:
        end = self._text.find("\n", at)
        return end if end >= 0 else len(self._text)

    def _indent(self, start: int) -> int:
        """Columns before what stands in the line after start."""
        blanks = _INDENT.match(self._text, start + 1)
        return len(blanks[0].expandtabs(4)) if blanks else 0

    def _is_inside(self, start: int) -> bool:
        """Whether the line after start is of the current list item."""
        return self._item > 0 and self._indent(start) >= self._item

    def _begin(self, at: int) -> None:
        """A line at which a paragraph begins; where it is not of the list item, that is over."""
        if self._item and self._indent(at - 1) < self._item:
            self._item = 0
        self._open, self._nested = at, self._item > 0

    def _plain(self, start: int, end: int) -> int:
        """The line is a paragraph's like any other."""
        if self._open < 0:
            self._begin(start + 1)
        return end

    def _paragraph(self, end: int) -> str:
        """What is being read, as far as a line under it makes a heading of it."""
        before = _NO_TEXT.match(self._text, self._open, end)
        return self._text[before.end() if before else self._open : end]

    def _is_paragraph(self, end: int) -> bool:
        """Whether what is being read is a paragraph, also of a list item or a quotation."""
        if (
            self._sure != self._open >= 0
            and (self._nested or self._paragraph(end))
            and not self._is_table(end)
        ):
            self._sure = self._open
        return 0 <= self._open == self._sure

    def _is_table(self, end: int) -> bool:
        """Whether what is being read has a table in it."""
        if self._table != self._open:
            rows = self._paragraph(end).split("\n")
            found = any(
                "|" in above and "|" in row and _ROW.fullmatch(row) and _cells(above) == _cells(row)
                for above, row in pairwise(rows)
            )
            self._table = self._open if found else -1
        return self._open == self._table

    def _end_paragraph(self, start: int) -> None:
        if self._open >= 0:
            self._close(start + 1 + self._shift)
            self._open = -1

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


def _cells(row: str) -> int:
    return row.strip().strip("|").count("|")
