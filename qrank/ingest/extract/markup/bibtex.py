"""BibTeX: each entry is a part with its title as heading, and a line for each field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

from qrank.ingest.decode import decode
from qrank.ingest.extract.building import Builder, one_line
from qrank.markup.latex import readable
from qrank.results import Document

_ENTRY = re.compile(r"^[ \t]*@[ \t]*([A-Za-z]+)[ \t]*[{(]", re.MULTILINE)
_KEY = re.compile(r"\s*([^\s,={}\"]{1,500})\s*(?:,|(?=[})]))")
_NAME = re.compile(r"[\s,]*([A-Za-z][^\s=,{}\"#@]{0,100})\s*=\s*")
_PIECE = re.compile(r"\s*(?:([{\"])|([^\s,#{}\"()]+))")
_BLANKS = re.compile(r"[ \t\n,]*")
_NEXT = re.compile(r"\s*#")
_BRACE = re.compile(r"\\.|[{}\"]", re.DOTALL)
_PERCENT = re.compile(r"(?<!\\)%")
_RAW = frozenset("url doi file eprint isbn issn howpublished-url bdsk-url-1".split())
_MONTHS = {
    month[:3].lower(): month
    for month in (
        "January February March April May June July August September October November December"
    ).split()
}
MAX_STRINGS = 10_000
MAX_STRING = 1000  # characters of the value of an abbreviation


class _Value(NamedTuple):
    text: str
    end: int


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the document of all entries, and of the text between them."""
    text = decode(file.read())[0].replace("\r\n", "\n").replace("\r", "\n")
    builder = Builder()
    strings: dict[str, str] = dict(_MONTHS)
    lines = _Lines(text)
    entries = [*_ENTRY.finditer(text)]
    ends = [*(entry.start() for entry in entries[1:]), len(text)]
    _between(builder, text[: entries[0].start() if entries else len(text)], 1)
    for entry, end in zip(entries, ends, strict=True):
        kind = entry[1].lower()
        at = entry.end()
        if kind == "comment":
            continue
        if kind == "string":
            for name, value, _ in _fields(text, at, end, strings)[0]:
                if len(strings) < MAX_STRINGS:
                    strings[name.lower()] = value[:MAX_STRING]
            continue
        if kind != "preamble":
            at = _add(builder, text, entry, end, strings, lines)
            after = text.find("\n", at, end)
            if after >= 0:
                _between(builder, text[after:end], lines.of(after))
    yield builder.document()


def _add(
    builder: Builder,
    text: str,
    entry: re.Match[str],
    end: int,
    strings: Mapping[str, str],
    lines: _Lines,
) -> int:
    """Add an entry; returns the offset of its end."""
    key = _KEY.match(text, entry.end(), end)
    fields, at = _fields(text, key.end() if key else entry.end(), end, strings)
    title = next((value for name, value, _ in fields if name.lower() == "title"), "")
    builder.part()
    builder.headings(title)
    rows = [f"{name.lower()}: {value}" for name, value, _ in fields if value]
    numbers = [lines.of(offset) for _, value, offset in fields if value]
    head = f"{entry[1].lower()} {key[1] if key else ''}".rstrip()
    builder.paragraph("\n".join([head, *rows]), lines=[lines.of(entry.start()), *numbers])
    builder.part()
    builder.headings()
    return at


def _between(builder: Builder, text: str, line: int) -> None:
    """Add the text between entries (comments)."""
    line += len(text[: len(text) - len(text.lstrip())].split("\n")) - 1
    if text.strip():
        builder.paragraph(text.strip(), lines=range(line, line + text.strip().count("\n") + 1))


def _fields(
    text: str, at: int, end: int, strings: Mapping[str, str]
) -> tuple[list[tuple[str, str, int]], int]:
    """(the fields of an entry as (name, value, offset), the offset of its end). Invalid text
    between fields is skipped."""
    result: list[tuple[str, str, int]] = []
    while at < end:
        name = _NAME.match(text, at, end)
        if not name:
            blanks = _BLANKS.match(text, at, end)
            at = blanks.end() if blanks else at
            if at == end or text[at] in "})":
                return result, min(end, at + 1)
            comma = text.find(",", at + 1, end)
            line_end = text.find("\n", at + 1, end)
            at = min((offset for offset in (comma, line_end) if offset >= 0), default=end)
            continue
        value = _value(text, name.end(), end, strings)
        lowered = name[1].lower()
        if lowered in _RAW:
            own_text = one_line(value.text)
        else:
            own_text = one_line(readable(_PERCENT.sub(r"\\%", value.text)))
        result.append((name[1], own_text, name.start(1)))
        at = max(value.end, name.end())
    return result, end


def _value(text: str, at: int, end: int, strings: Mapping[str, str]) -> _Value:
    """A value: text in braces or quotes, or an abbreviation, or several joined by #."""
    pieces = []
    while piece := _PIECE.match(text, at, end):
        if piece[2]:
            pieces.append(strings.get(piece[2].lower(), piece[2]))
            at = piece.end()
        else:
            quoted = _quoted(text, piece.start(1), end)
            pieces.append(quoted.text)
            at = quoted.end
        more = _NEXT.match(text, at, end)
        if not more:
            break
        at = more.end()
    return _Value("".join(pieces), at)


def _quoted(text: str, start: int, end: int) -> _Value:
    closing = "}" if text[start] == "{" else '"'
    depth = 0
    for brace in _BRACE.finditer(text, start + 1, end):
        if brace[0] == closing and not depth:
            return _Value(text[start + 1 : brace.start()], brace.end())
        depth = max(0, depth + {"{": 1, "}": -1}.get(brace[0], 0))
    return _Value(text[start + 1 : end], end)  # not closed: the rest of the entry


class _Lines:
    """Line numbers of offsets; fast for offsets that are near the one before."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at, self._line = 0, 1

    def of(self, offset: int) -> int:
        if offset < self._at:
            self._line -= self._text.count("\n", offset, self._at)
        else:
            self._line += self._text.count("\n", self._at, offset)
        self._at = offset
        return self._line
