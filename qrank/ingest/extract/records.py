"""Records: JSONL and CSV, each row a part of its own under its title, with its line."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import BinaryIO

from qrank.errors import ExtractError, NoTextError
from qrank.ingest.decode import SAMPLE, encoding_of, on_error, whole_lines
from qrank.ingest.extract.building import MAX_PROPERTY, Builder, clean, truncated
from qrank.results import Document

TITLES = ("title", "name", "subject", "headline")
TEXTS = (
    *("text", "body", "content", "abstract", "summary", "description", "message", "messages"),
    *("question", "answer", "prompt", "completion", "comment"),
)
STRETCH = 1 << 20  # characters that are handed on at once
MAX_FIELD = 16 << 20
MAX_DEPTH = 8  # of objects within objects that are looked into
MAX_NAMED = 20  # fields that a reason lists
MAX_FIELDS = 200  # of a row, of the values of a list
MAX_NESTED = 3  # objects within each other whose values are fields
NOWHERE = "\x1f"  # separates cells where there is but one in a line
MAX_ROW = 200  # lines of the last row that are examined again
_CUT = "\0"  # stands for the note of a file that is truncated
_SEPARATOR = re.compile(r"sep=(.)\r?\n")


def extract_jsonl(file: BinaryIO, fields: tuple[str, ...] = ()) -> Iterator[Document]:
    """Yield the rows, a stretch at a time. Without fields: those with the usual names of titles
    and texts, else all that hold text. Raises ExtractError when no line is a JSON object,
    NoTextError when none has text."""
    with text_of(file) as lines:
        yield from _with_size(_objects(lines, fields), file)


def _with_size(documents: Iterable[Document], file: BinaryIO) -> Iterator[Document]:
    """Documents, and in the note of a truncated one how long the file is. Only then is the file
    read to its end: before, its position must stay."""
    for document in documents:
        if _CUT in document.note:
            note = document.note.replace(_CUT, truncated(file.seek(0, io.SEEK_END)))
            document = document._replace(note=note)
        yield document


def _objects(lines: Iterable[str], fields: tuple[str, ...]) -> Iterator[Document]:
    stretch = _Stretch()
    good = bad = first_bad = number = 0
    line = ""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, strict=False)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            bad += 1
            first_bad = first_bad or number
            continue
        good += 1
        texts = {
            key: text for key, value in row.items() if (text := _number(value) or _text(value))
        }
        usual = tuple(name for name in TITLES[:1] + TEXTS if name in texts)
        bodies = set(usual) - set(TITLES)
        own = _fields({key: value for key, value in row.items() if key not in bodies})
        stretch.add(texts, fields or usual or tuple(texts), [number], own)
        if stretch.full:
            yield stretch.document()
    if good and bad == 1 and first_bad == number and not line.endswith("\n"):
        yield stretch.last(fields, _CUT)
        return
    if bad and not good:
        raise ExtractError("none of its lines is a JSON object")
    note = ""
    if bad:
        are = "is not a JSON object" if bad == 1 else "are not JSON objects"
        note = f"{bad} of {good + bad} lines {are} (line {first_bad}{', …' if bad > 1 else ''})"
    yield stretch.last(fields, note)


def extract_csv(file: BinaryIO, fields: tuple[str, ...] = ()) -> Iterator[Document]:
    """Yield the rows, a stretch at a time; the first row names the columns, unless there is but one
    column, or no other row. Without fields: all. Raises ExtractError for what is no CSV,
    NoTextError when no row has text."""
    csv.field_size_limit(MAX_FIELD)
    with text_of(file) as lines:
        yield from _with_size(_rows(lines, fields), file)


def _remembering(lines: Iterable[str], recent: deque[str]) -> Iterator[str]:
    for line in lines:
        line = line.replace("\0", "")
        recent.append(line)
        yield line


def _ends_early(row: Sequence[str], delimiter: str, cells: int, usual: int) -> bool:
    r"""Whether a file ends within a row, of these lines and so many cells: within quotes, or where
    others have more.

    >>> _ends_early(['1,"a b\n', "c"], ",", 2, 2), _ends_early(["1"], ",", 1, 2)
    (True, True)
    >>> _ends_early(['1,5" pipe'], ",", 2, 2), _ends_early(["1\n"], ",", 1, 2)
    (False, False)
    """
    if row and cells < usual and not row[-1].endswith("\n"):
        return True
    try:
        for _ in csv.reader(row, delimiter=delimiter, strict=True):
            pass
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _rows(source: Iterable[str], fields: tuple[str, ...]) -> Iterator[Document]:
    recent: deque[str] = deque(maxlen=MAX_ROW)
    lines = _remembering(source, recent)
    head = list(islice(lines, 50))
    skipped = 0
    if head and (match := _SEPARATOR.fullmatch(head[0])):  # a line that Excel understands
        head, skipped = head[1:], 1
    delimiter = match[1] if skipped and match else _delimiter(head)
    rows = csv.reader(
        chain(head, lines),
        delimiter=delimiter or NOWHERE,
        skipinitialspace=bool(delimiter) and _has_blanks(head, delimiter),
    )
    stretch = _Stretch()
    names: list[str] = []
    only: list[str] = []  # the first row, until there is another
    line, first, end = 1 + skipped, 0, 0
    begin = cells = fewest = 0  # of the last row; of the rows before it
    try:
        for row in rows:
            begin, end = line, rows.line_num + skipped
            fewest, cells = min(fewest, cells) if fewest else cells, len(row)
            if not names and delimiter:
                names, only = _columns(row), row
                first = end
            else:
                only = []
                more = (f"column {i}" for i in range(len(names) + 1, len(row) + 1))
                columns = zip(chain(names, more), row, strict=False)
                filled = {name: value.strip() for name, value in columns if value}
                stretch.add(filled, fields or tuple(filled), range(line, end + 1), _fields(filled))
            line = end + 1
            if stretch.full:
                yield stretch.document()
    except csv.Error as error:
        raise ExtractError(f"line {line} is not valid CSV: {error}") from error
    if only and not fields:
        text = ", ".join(cell for each in only if (cell := each.strip()))
        stretch.add({"row": text}, ("row",), range(1 + skipped, first + 1), {})
    last = [*recent][-(end - begin + 1) :] if end - begin < MAX_ROW else []
    cut = delimiter and _ends_early(last, delimiter, cells, fewest)
    yield stretch.last(fields, _CUT if cut else "")


@contextmanager
def text_of(file: BinaryIO) -> Iterator[io.TextIOWrapper]:
    """The file as text, line ends as they are, in the encoding that its beginning shows."""
    head = file.read(SAMPLE)
    encoding, skipped = encoding_of(whole_lines(head) if len(head) == SAMPLE else head)
    file.seek(skipped)
    errors = on_error(encoding)
    text = io.TextIOWrapper(file, encoding=encoding, errors=errors, newline="")
    try:
        yield text
    finally:
        text.detach()  # the file is not ours to close


def _delimiter(lines: Sequence[str]) -> str:
    """What separates the cells: what gives the most lines as many as the first has; empty when the
    first has one cell whatever it is.

    >>> _delimiter(["Name;Sum\\n", "tea;1,20\\n"]), _delimiter(["tea\\n", "milk, hot\\n"])
    (';', '')
    """
    for strict in (True, False):
        best, most = "", (0.0, 1)
        for delimiter in "\t;|,":  # where two would do, the one that is seldomer in a text
            counts = _cells(lines, delimiter, strict=strict, blanks=strict)
            first = counts[0] if counts else 0
            alike = (counts.count(first) / len(counts) if counts else 0.0, first)
            if first > 1 and alike > most:
                best, most = delimiter, alike
        if best:
            return best
    return ""


def _has_blanks(lines: Sequence[str], delimiter: str) -> bool:
    """Whether quoted cells come after a blank: `1, "a, b"`.

    >>> _has_blanks(['1, "a, b"\\n'], ","), _has_blanks(['1, 5" pipe\\n'], ",")
    (True, False)
    """
    blank = any(f'{delimiter} "' in line for line in lines)
    return blank and bool(_cells(lines, delimiter, strict=True, blanks=True))


def _cells(
    lines: Sequence[str], delimiter: str, *, strict: bool, blanks: bool = False
) -> list[int]:
    """How many cells each row has; none when strict and a quoted cell goes on after its end.
    blanks: those before a cell are not part of it."""
    rows = csv.reader(lines, delimiter=delimiter, strict=strict, skipinitialspace=blanks)
    counts: list[int] = []
    try:
        counts += (len(row) for row in rows if row)
    except csv.Error:
        if rows.line_num < len(lines):  # else the last cell goes on in lines that are not here
            return []
    return counts


def _fields(row: Mapping[str, object]) -> dict[str, object]:
    """The fields of a row by which it can be asked for; those of an object in it have its name
    before theirs. Long texts are skipped.

    >>> _fields({"lang": "en", "by": {"name": "Ada", "age": 36}, "n": None, "tags": ["a", {}]})
    {'lang': 'en', 'tags': ['a'], 'by.name': 'Ada', 'by.age': 36}
    """
    result: dict[str, object] = {}
    pending = [("", row, MAX_NESTED)]
    while pending:
        above, values, depth = pending.pop()
        for name, value in values.items():
            if len(result) == MAX_FIELDS:
                return result
            if isinstance(value, list):
                items = [item for item in value[:MAX_FIELDS] if _is_plain(item)]
                if items:
                    result[clean(above + name)] = [_cleaned(item) for item in items]
            elif _is_plain(value):
                result[clean(above + name)] = _cleaned(value)
            elif isinstance(value, dict) and depth:
                pending.append((f"{above}{name}.", value, depth - 1))
    return result


def _is_plain(value: object) -> bool:
    """Whether a value is one that a field may have."""
    if isinstance(value, str):
        return 0 < len(value) <= MAX_PROPERTY
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and value.bit_length() <= 64


def _cleaned(value: object) -> object:
    return clean(value) if isinstance(value, str) else value


def _number(value: object) -> str:
    """A number of a row, which CSV would have as text."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _columns(row: Sequence[str]) -> list[str]:
    """The names of columns, all different.

    >>> _columns(["a", "", "a"])
    ['a', 'column 2', 'a (column 3)']
    """
    names: dict[str, None] = {}
    for i, cell in enumerate(row, 1):
        name = cell.strip() or f"column {i}"
        names[f"{name} (column {i})" if name in names else name] = None
    return [*names]


def _text(value: object, depth: int = MAX_DEPTH) -> str:
    """The text of a value: of an object that of its usual fields, else of all; of a list that of
    its items.

    >>> _text([{"role": "user", "content": "Which tea?"}, {"role": "bot", "content": "Green."}])
    'Which tea?\\nGreen.'
    """
    if isinstance(value, str):
        return value.strip()
    between = "\n"
    if isinstance(value, dict):
        value = [value[name] for name in TITLES[:1] + TEXTS if name in value] or [*value.values()]
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        between = ", "
    if not isinstance(value, list) or not depth:
        return ""
    return between.join(text for item in value if (text := _text(item, depth - 1)))


class _Stretch:
    """Rows on their way into a document."""

    def __init__(self) -> None:
        self._builder = Builder()
        self._size = 0
        self._empty = True  # no row so far has had text
        self._names: dict[str, None] = {}  # of fields that were there, while no row has had text

    @property
    def full(self) -> bool:
        return self._size >= STRETCH

    def add(
        self,
        row: Mapping[str, str],
        fields: tuple[str, ...],
        lines: Sequence[int],
        own: Mapping[str, object],
    ) -> None:
        """A row: its texts, which of them to take, the lines of each line of those, its fields."""
        title = next((name for name in TITLES if name in row), "")
        names = [name for name in fields if row.get(name)]
        self._builder.part()
        self._builder.fields(own)
        self._builder.headings(row[title] if title else "")
        if len([name for name in names if name != title]) <= 1:  # they speak for themselves
            text = "\n".join(row[name] for name in names)
        else:
            text = "\n".join(f"{name}: {row[name]}" for name in names)
        if more := text.count("\n"):  # its last line is the row's, however many there are
            lines = [*lines[:more], lines[-1]]
        self._builder.paragraph(text, lines=lines)
        self._size += len(text)
        self._empty = self._empty and not text
        if self._empty:
            self._names |= dict.fromkeys(row)

    def document(self) -> Document:
        done, self._builder, self._size = self._builder, Builder(), 0
        return done.document()

    def last(self, fields: tuple[str, ...], note: str = "") -> Document:
        """The last one. Raises NoTextError when there was no text in any row."""
        if self._empty:
            names = [*islice(self._names, MAX_NAMED), *["…"] * (len(self._names) > MAX_NAMED)]
            there = f"; there are: {', '.join(names)}" if names else ""
            under = f" under {', '.join(fields)}{there} (--fields)" if fields else ""
            raise NoTextError(f"no row has text{under}")
        self._builder.note = note
        return self.document()
