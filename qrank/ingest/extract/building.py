"""Building documents from headings and paragraphs, for formats that are not text files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from qrank.errors import ExtractError
from qrank.markup.visible import visible
from qrank.results import Block, Document

MAX_HEADING = 200  # characters; each chunk below repeats it
MAX_LEVEL = 10  # of headings; each chunk repeats all headings above it
MAX_TEXT = 32 << 20  # characters of one document
MAX_NAMED = 10  # things named in a note
MAX_PROPERTY = 1000  # characters of an author, of a subject, and of all keywords together
CHECKED, UNCHECKED = "☒", "☐"  # boxes of forms
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
_LINE_END = re.compile(r"\r\n?")
_SEPARATOR = re.compile(r"[\x0b\x0c\x1c-\x1f]")
_BLANKS = re.compile(r"[^\S\n]+")
_BETWEEN_KEYWORDS = re.compile(r"[,;\n、，；]")


def clean(text: str) -> str:
    """Remove invisible and control characters, and lone surrogates, which SQLite can't store. Line
    ends become newlines, separators (of pages and the like) spaces.

    >>> clean("one\\r\\ntwo\\x0bthree \\x1b[1mfo\u00adur\\x00")
    'one\\ntwo three four'
    """
    text = visible(text)
    if not _CONTROL.search(text):
        return text
    return _CONTROL.sub("", _SEPARATOR.sub(" ", _LINE_END.sub("\n", text)))


def one_line(text: str) -> str:
    """A cleaned text with whitespace collapsed to single spaces."""
    return " ".join(clean(text).split())


def properties(
    author: str | Iterable[str] = "", subject: str = "", keywords: str | Iterable[str] = ""
) -> dict[str, object]:
    """The fields of a document that are indexed with its title, without empty ones. Keywords in one
    string are split at commas and semicolons.

    >>> properties("Ada L.", "", "tea, green tea;;tea")
    {'author': 'Ada L.', 'keywords': ['tea', 'green tea']}
    """
    names = [author] if isinstance(author, str) else author
    authors = _distinct(names)
    words = _BETWEEN_KEYWORDS.split(keywords) if isinstance(keywords, str) else keywords
    fields: dict[str, object] = {
        "author": authors[0] if len(authors) == 1 else authors,
        "subject": one_line(subject)[:MAX_PROPERTY],
        "keywords": _distinct(words),
    }
    return {name: value for name, value in fields.items() if value}


def _distinct(words: Iterable[str]) -> list[str]:
    """Non-empty words without duplicates, with at most MAX_PROPERTY characters together."""
    result: dict[str, None] = {}
    size = 0
    for word in words:
        word = one_line(word)[: MAX_PROPERTY - size]
        if word and word not in result:
            result[word] = None
            size += len(word)
    return [*result]


def truncated(byte: int) -> str:
    """The note for a truncated file of so many bytes."""
    return f"truncated at byte {byte}"


class Omissions:
    """Collects what was skipped in a file, by kind or by name, for its note.

    >>> omissions = Omissions()
    >>> for what in ("picture", "table", "picture"): omissions.count(what)
    >>> omissions.add("notes.xml (damaged)")
    >>> omissions.note()
    '2 pictures, 1 table, notes.xml (damaged)'
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._named: dict[str, None] = {}

    def count(self, what: str, number: int = 1) -> None:
        """Count things of a kind; what: the kind in the singular."""
        self._counts[what] = self._counts.get(what, 0) + number

    def add(self, what: str) -> None:
        """Add a thing by its name; the same name is added once."""
        if len(self._named) < MAX_NAMED:
            self._named[what] = None
        else:
            self.count("other thing")

    def note(self) -> str:
        """The note, in one line; empty when nothing was skipped."""
        counts = [f"{n} {what}{'s' * (n > 1)}" for what, n in self._counts.items()]
        return ", ".join([*counts, *self._named])


class Builder:
    """Collects the paragraphs of a document, each under the headings added before it.

    Line numbers, for formats that have lines, are of the file, from 1; 0: none.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._open: int | None = None  # start of headings that have no paragraph yet
        self._path: list[tuple[int, str]] = []
        self._page: int | None = None
        self._part = 0
        self._lines: list[int] = []
        self._has_lines = False
        self._own: Mapping[str, object] = {}  # fields of the following parts
        self._part_fields: dict[int, Mapping[str, object]] = {}
        self.first_heading = ""
        self.note = ""  # what was skipped, and why

    def page(self, number: int) -> None:
        """Start a page (slide, sheet); number: from 1."""
        self.part()
        self._page = number

    def part(self) -> None:
        """Start a part; no chunk spans two parts."""
        self._close_headings()
        self._part += 1

    def fields(self, own: Mapping[str, object]) -> None:
        """Set the fields of the following parts (of a row or a message)."""
        self._own = own

    def headings(self, *path: str) -> None:
        """Set the headings of the following paragraphs; they are not part of the text."""
        self._path = [
            (level, one_line(name)[:MAX_HEADING]) for level, name in enumerate(path, 1) if name
        ]

    def heading(self, level: int, text: str, line: int = 0) -> None:
        """Add a heading that is part of the text; level: from 1."""
        level = min(level, MAX_LEVEL)
        name = one_line(text)[:MAX_HEADING]
        if not name:
            return
        self._path = [(above, other) for above, other in self._path if above < level]
        self._path.append((level, name))
        self.first_heading = self.first_heading or name
        start = self._add(f"{'#' * min(level, 6)} {one_line(text)}", line)
        if self._open is None:
            self._open = start

    def paragraph(self, text: str, line: int = 0, *, lines: Sequence[int] = ()) -> None:
        """Add a paragraph; line: of its start; lines: of each of its lines, where they differ from
        line."""
        text = clean(text).strip("\n")
        if not text.strip():
            return
        start = self._add(text, line, lines)
        if self._open is not None:
            start, self._open = self._open, None
        self._block(start)

    def include(self, document: Document, name: str = "") -> None:
        """Add the text of an embedded document, under the present headings and its name."""
        self.part()
        outer = self._path
        above = [heading for _, heading in outer] + [one_line(name)[:MAX_HEADING]] * bool(name)
        for block in document.blocks:
            self._path = [*enumerate([*above, *block.heading], 1)][-MAX_LEVEL:]
            self.paragraph(document.text[block.start : block.end])
        self._path = outer
        self.part()

    def document(self, title: str = "", fields: Mapping[str, object] | None = None) -> Document:
        """The document of everything added so far."""
        self._close_headings()
        return Document(
            "\n\n".join(self._pieces),
            one_line(title)[:MAX_HEADING],
            self._blocks,
            lines=self._lines if self._has_lines else None,
            fields=fields or {},
            note=self.note,
            part_fields=self._part_fields,
        )

    def restart(self) -> None:
        """Start another document, on the same page and under the same headings."""
        self._close_headings()
        self._pieces, self._blocks, self._lines, self._length = [], [], [], 0
        self._part_fields = {}

    def _close_headings(self) -> None:
        if self._open is not None:
            start, self._open = self._open, None
            self._block(start)

    def _block(self, start: int) -> None:
        names = tuple(name for _, name in self._path)
        self._blocks.append(Block(start, self._length, names, self._page, self._part))
        if self._own:
            self._part_fields[self._part] = self._own

    def _add(self, text: str, line: int, lines: Sequence[int] = ()) -> int:
        """Append a text; returns its offset. Raises ExtractError beyond MAX_TEXT."""
        self._length += 2 if self._pieces else 0
        start = self._length
        self._pieces.append(text)
        self._length += len(text)
        if self._length > MAX_TEXT:
            raise ExtractError(f"holds more than {MAX_TEXT >> 20} million characters of text")
        count = text.count("\n") + 1
        numbers = list(lines[:count]) or [line]
        self._has_lines = self._has_lines or numbers[0] > 0
        if self._lines:
            self._lines.append(self._lines[-1])  # the blank line between
        self._lines += numbers + numbers[-1:] * (count - len(numbers))
        return start


def blanks_made_one(text: str) -> str:
    """Collapse whitespace within lines, and strip each line.

    >>> blanks_made_one("  a   b \\n  c")
    'a b\\nc'
    """
    return "\n".join(line.strip() for line in _BLANKS.sub(" ", text).split("\n"))
