"""Selecting the part of a chunk to show: its best sentence, with the query's terms highlighted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from textwrap import dedent
from typing import IO, NamedTuple

from qrank.analysis import text as analyser
from qrank.cli.output.escape import escape_control_chars
from qrank.markup import readable
from qrank.markup.visible import visible
from qrank.names import disk_path
from qrank.results import IndexedChunk, Result

Span = tuple[int, int]
BLOCK = 1 << 13  # bytes that are read at first, to show lines around a chunk
FARTHEST = 1 << 20  # bytes that are read before and after it, at most: lines may be long
LINES = 5  # that are shown of code, lists and tables
_HEADING_LINES = re.compile(r"\A(?:#{1,6}[^\S\n].*(?:\n\s*|\Z))+")
_HEADING = re.compile(r"^#{1,6}[^\S\n]+(.*?)[^\S\n]*#*$", re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)\n.*?\n\1\n+(?=\S)", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])|\n\s*\n")
_LINE_END = re.compile(r"\n")
# A line of code, a list or a table: indented, after a marker, or ending with punctuation of code;
# or of a log: beginning with a date or time.
_OWN_LINE = re.compile(
    r"(?:\s{2,}|\t)\S|\s*(?:[-*+|>#}]|//|\d{1,3}[.)])\s?|.*[{}();,:|=\]\\]\s*$"
    r"|\d{4}[-/]\d\d[-/]\d\d(?!\d)|.{0,50}?(?<!\d)\d\d:\d\d:\d\d(?!\d)"
)


class Line(NamedTuple):
    """A line to show: its escaped text, the spans of terms and of the best sentence in it, its line
    number if that is shown, and whether to truncate it at the screen's edge (code) or wrap it."""

    text: str
    terms: list[Span]
    best: Span | None = None
    number: int | None = None
    crop: bool = False


def without_headings(chunk_text: str) -> str:
    """A Markdown chunk without the headings at its start, unless it has nothing else."""
    return _HEADING_LINES.sub("", chunk_text) or chunk_text


def snippet(chunk_text: str, terms: Sequence[str], width: int) -> list[Line]:
    """The best part of a chunk: of prose about width characters, as one line; of code, lists and
    tables the LINES lines around the best one.

    >>> [line.text for line in snippet("One. Two three\\nfour.", ["three"], 100)]
    ['One. Two three four.']
    """
    chunk_text = visible(chunk_text).replace("\r\n", "\n")
    front = _FRONT_MATTER.match(chunk_text)
    body = chunk_text[front.end() :] if front else chunk_text
    if front and best_sentence(front[0], terms) and not best_sentence(body, terms):
        return _around(front[0], terms)
    if keeps_lines(body):
        return _around(dedent(body.expandtabs(4)), terms)
    return [_window(_HEADING.sub(_inline, body), terms, width)]


def _inline(heading: re.Match[str]) -> str:
    """A Markdown heading as text within a line."""
    name = heading[1]
    return f"{name}:" if name[-1:].isalnum() else name


def whole(chunk_text: str, terms: Sequence[str]) -> list[Line]:
    """Every line of a chunk."""
    text = _lines_of(chunk_text)
    return list(_marked(text, terms, best_sentence(text, terms), range(text.count("\n") + 1)))


def context(result: IndexedChunk, terms: Sequence[str], around: int) -> list[Line]:
    """The best line, with so many lines before and after it, numbered. They are read from the file
    if it has not changed since indexing, else taken from the chunk."""
    before, after = _surroundings(result, around)
    chunk_text = _lines_of(result.text)
    text = before + chunk_text + after
    start, end = _best_line(chunk_text, readable(result.text, result.location), terms)
    start, end = start + len(before), end + len(before)
    first, last = text.count("\n", 0, start), text.count("\n", 0, end)
    lines = range(max(0, first - around), min(text.count("\n"), last + around) + 1)
    offset = result.start_line - before.count("\n")
    return list(_marked(text, terms, (start, end), lines, offset))


def best_place(result: IndexedChunk, terms: Sequence[str]) -> tuple[int, int]:
    """(line, column) in the file of a chunk's best match: its line with the most terms, and the
    first of them in it. Both count from 1, columns in bytes of UTF-8, as in `rg --column`. If the
    chunk has none of the terms, or its lines are not lines of the file (mail, subtitles), its
    first line."""
    text = result.text.rstrip("\n")
    if isinstance(result, Result) and result.score_kind == "match" and result.matches:
        start = result.matches[0][0]
        number = text.count("\n", 0, start)
        column = len(text[text.rfind("\n", 0, start) + 1 : start].encode("utf-8", "replace"))
        same = text.count("\n") == result.end_line - result.start_line
        return (result.start_line + number, column + 1) if same else (result.start_line, 1)
    best = best_sentence(readable(text, result.location), terms, lines=True)
    if best is None or text.count("\n") != result.end_line - result.start_line:
        return result.start_line, 1
    number = readable(text, result.location).count("\n", 0, best[0])
    line = text.split("\n")[number]
    start = next((start for start, _, _ in _hits(line, set(terms))), 0)
    return result.start_line + number, len(line[:start].encode("utf-8", "replace")) + 1


def _best_line(chunk_text: str, plain: str, terms: Sequence[str]) -> Span:
    """The span of a chunk's line with the most terms, else of its first line. plain: the chunk's
    text without markup, line by line."""
    plain = re.sub(r"\r\n?", "\n", plain)
    best = best_sentence(plain, terms, lines=True) or (0, 0)
    number = plain.count("\n", 0, best[0])
    starts = [0, *(match.end() for match in _LINE_END.finditer(chunk_text))]
    start = starts[min(number, len(starts) - 1)]
    end = chunk_text.find("\n", start)
    return start, end if end >= 0 else len(chunk_text)


def keeps_lines(chunk_text: str) -> bool:
    """Whether a chunk consists of lines (code, lists, tables, logs) rather than sentences.

    >>> keeps_lines("def f(x):\\n    return x\\n"), keeps_lines("Some words,\\nthen others.")
    (True, False)
    >>> keeps_lines("Nov 24 10:31:05 host sshd: ready\\nNov 24 10:31:09 host sshd: bye")
    True
    """
    lines = [line for line in chunk_text.splitlines() if line.strip()]
    own = sum(bool(_OWN_LINE.match(line)) for line in lines)
    return len(lines) > 1 and own * 3 >= len(lines) * 2


def best_sentence(text: str, terms: Sequence[str], *, lines: bool = False) -> Span | None:
    """The span of the first sentence with the most different terms; None when none has any.
    lines: compare lines, not sentences; this is the default for texts of which keeps_lines is true.

    >>> best_sentence("Tea. Green tea is steeped.", ["tea", "green"])
    (5, 26)
    """
    return _best_piece(text, list(_hits(text, set(terms))), lines=lines)


def _best_piece(
    text: str, hits: Sequence[tuple[int, int, set[str]]], *, lines: bool = False
) -> Span | None:
    best, most = None, 0
    for start, end in _pieces(text, _LINE_END if lines or keeps_lines(text) else _SENTENCE_END):
        distinct = set().union(*(terms for s, e, terms in hits if s >= start and e <= end))
        if len(distinct) > most:
            best, most = (start, end), len(distinct)
    return best


def _pieces(text: str, separator: re.Pattern[str]) -> Iterator[Span]:
    at = 0
    for match in separator.finditer(text):
        if text[at : match.start()].strip():
            yield at, match.start()
        at = match.end()
    if text[at:].strip():
        yield at, at + len(text[at:].rstrip())


def _hits(text: str, stems: set[str]) -> Iterator[tuple[int, int, set[str]]]:
    for start, end, own in analyser.tokens(text):
        if stems.intersection(own):
            yield start, end, stems.intersection(own)


def _window(chunk_text: str, terms: Sequence[str], width: int) -> Line:
    """About width characters of a chunk on one line, with as much of the best sentence as fits."""
    line = escape_control_chars(re.sub(r"\s+", " ", chunk_text).strip())
    hits = list(_hits(line, set(terms)))
    best = _best_piece(line, hits)
    start, end = 0, len(line)
    if len(line) > width:
        first, last = best or (0, 0)
        if last - first > width:
            inside = [hit for hit in hits if hit[0] >= first and hit[1] <= last]
            start = max(first, _densest(inside, width) - width // 6)
        else:
            start = max(0, min(first - (width - (last - first)) // 3, len(line) - width))
        if start > 0:
            start = line.rfind(" ", 0, start) + 1
    if end - start > width:
        end = line.rfind(" ", start + 1, start + width)
        end = end if end > start else start + width
    lead = "… " if start > 0 else ""
    tail = " …" if end < len(line) else ""
    shift = len(lead) - start
    spans = [(s + shift, e + shift) for s, e, _ in hits if s >= start and e <= end]
    marked = (max(best[0], start) + shift, min(best[1], end) + shift) if best else None
    return Line(lead + line[start:end] + tail, spans, marked)


def _densest(hits: Sequence[tuple[int, int, set[str]]], width: int) -> int:
    """The start of the first window of width characters with the most different terms."""
    best, best_start = 0, 0
    for i, (start, _, _) in enumerate(hits):
        inside = [own for _, end, own in hits[i:] if end <= start + width]
        distinct = len(set().union(*inside))
        if distinct > best:
            best, best_start = distinct, start
    return best_start


def _around(chunk_text: str, terms: Sequence[str]) -> list[Line]:
    """The LINES lines around the best one of a chunk."""
    text = _lines_of(chunk_text)
    best = best_sentence(text, terms)
    count = text.count("\n") + 1
    middle = text.count("\n", 0, best[0]) if best else 0
    start = max(0, min(middle - LINES // 2, count - LINES))
    end = min(count, start + LINES)
    blank = [not line.strip() for line in text.split("\n")]
    while start < middle and blank[start]:  # instead of blank lines, show others
        start, end = start + 1, min(count, end + 1)
    while end - 1 > middle and blank[end - 1]:
        start, end = max(0, start - 1), end - 1
    return list(_marked(text, terms, best, range(start, end), crop=True))


def _lines_of(chunk_text: str) -> str:
    """A chunk's text for display: escaped, with newlines as line ends, without blank lines at its
    start and end."""
    return escape_control_chars(re.sub(r"\r\n?", "\n", visible(chunk_text)).strip("\n").rstrip())


def _marked(
    text: str,
    terms: Sequence[str],
    best: Span | None,
    lines: Iterable[int],
    first_number: int | None = None,
    *,
    crop: bool = False,
) -> Iterator[Line]:
    """Lines of a text by number, from 0, with their marked spans. best: a span of the text."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    for i in lines:
        start = starts[i]
        end = starts[i + 1] - 1 if i + 1 < len(starts) else len(text)
        spans = [(s, e) for s, e, _ in _hits(text[start:end], set(terms))]
        best_span = None
        if best and best[0] < max(end, start + 1) and best[1] > start:
            best_span = (max(best[0], start) - start, min(best[1], end) - start)
        number = None if first_number is None else first_number + i
        yield Line(text[start:end], spans, best_span, number, crop)


def _surroundings(result: IndexedChunk, around: int) -> tuple[str, str]:
    """The text of a file before and after a chunk: so many lines, and the rest of the chunk's first
    and last line. ("", "") when the file has changed or is not plain text."""
    if result.stale is not False or result.member:
        return "", ""
    try:
        with Path(disk_path(result.path)).open("rb") as file:
            file.seek(result.start_byte)
            data = result.text.encode("utf-8", "replace")
            if file.read(result.end_byte - result.start_byte) != data:
                return "", ""  # the text was extracted from another format
            return _before(file, result.start_byte, around), _after(file, result.end_byte, around)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return "", ""


def _before(file: IO[bytes], end: int, around: int) -> str:
    """The lines before a byte offset, with the start of its own line."""
    size = BLOCK
    while True:
        start = max(0, end - size)
        file.seek(start)
        text = _plain(file.read(end - start))
        if text.count("\n") > around or start == 0 or size >= FARTHEST:
            break
        size *= 8
    lines = text.split("\n")
    if start > 0 and len(lines) > 1:
        lines = lines[1:]  # the first one is incomplete
    return "\n".join(lines[-around - 1 :]).removeprefix("\ufeff")


def _after(file: IO[bytes], start: int, around: int) -> str:
    """The lines after a byte offset, with the rest of its own line."""
    file.seek(start)
    data = b""
    while _plain(data).count("\n") <= around and len(data) < FARTHEST:
        more = file.read(max(BLOCK, 7 * len(data)))
        if not more:
            data = data.rstrip()  # no blank lines at the end of the file
            break
        data += more
    return "\n".join(_plain(data).split("\n")[: around + 1])


def _plain(data: bytes) -> str:
    text = visible(data.decode("utf-8", "replace"))
    return escape_control_chars(re.sub(r"\r\n?", "\n", text))
