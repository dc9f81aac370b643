"""Records: JSONL and CSV. Each row is a part with its own title and line number."""

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
BATCH_SIZE = 1 << 20  # characters of a document
MAX_FIELD = 16 << 20  # characters
MAX_DEPTH = 8  # of nested objects whose text is read
MAX_LISTED = 20  # fields that a message lists
MAX_FIELDS = 200  # of a row; also values of a list
MAX_NESTED = 3  # depth of nested objects whose values are fields
NO_DELIMITER = "\x1f"  # for the csv module, when a row is one cell
MAX_ROW = 200  # lines of the last row that are checked for truncation
_TRUNCATED = "\0"  # placeholder for the note of a truncated file
_SEPARATOR = re.compile(r"sep=(.)\r?\n")


def extract_jsonl(file: BinaryIO, fields: tuple[str, ...] = ()) -> Iterator[Document]:
    """Yield the rows in batches. fields: to read; by default those with the usual names (TITLES,
    TEXTS), else all with text. Raises ExtractError when no line is a JSON object, NoTextError when
    no row has text."""
    with text_of(file) as lines:
        yield from _with_size(_objects(lines, fields), file)


def _with_size(documents: Iterable[Document], file: BinaryIO) -> Iterator[Document]:
    """The documents, with the size of the file in the note of a truncated one. The file's position
    is only changed after the last document."""
    for document in documents:
        if _TRUNCATED in document.note:
            note = document.note.replace(_TRUNCATED, truncated(file.seek(0, io.SEEK_END)))
            document = document._replace(note=note)
        yield document


def _objects(lines: Iterable[str], fields: tuple[str, ...]) -> Iterator[Document]:
    batch = _Batch()
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
        batch.add(texts, fields or usual or tuple(texts), [number], own)
        if batch.full:
            yield batch.document()
    if good and bad == 1 and first_bad == number and not line.endswith("\n"):
        yield batch.last(fields, _TRUNCATED)
        return
    if bad and not good:
        raise ExtractError("none of its lines is a JSON object")
    note = ""
    if bad:
        are = "is not a JSON object" if bad == 1 else "are not JSON objects"
        note = f"{bad} of {good + bad} lines {are} (line {first_bad}{', …' if bad > 1 else ''})"
    yield batch.last(fields, note)


def extract_csv(file: BinaryIO, fields: tuple[str, ...] = ()) -> Iterator[Document]:
    """Yield the rows in batches. The first row has the names of the columns, unless there is only
    one column or one row. fields: to read, by default all. Raises ExtractError for invalid CSV,
    NoTextError when no row has text."""
    csv.field_size_limit(MAX_FIELD)
    with text_of(file) as lines:
        yield from _with_size(_rows(lines, fields), file)


def _with_recent(lines: Iterable[str], recent: deque[str]) -> Iterator[str]:
    for line in lines:
        line = line.replace("\0", "")
        recent.append(line)
        yield line


def _ends_early(row: Sequence[str], delimiter: str, cells: int, usual: int) -> bool:
    r"""Whether a file ends within its last row: within quotes, or with fewer cells than the others.

    row: its lines; cells: how many it has; usual: how many the other rows have at least.

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
    lines = _with_recent(source, recent)
    head = list(islice(lines, 50))
    skipped = 0
    if head and (match := _SEPARATOR.fullmatch(head[0])):  # written and read by Excel
        head, skipped = head[1:], 1
    delimiter = match[1] if skipped and match else _delimiter(head)
    rows = csv.reader(
        chain(head, lines),
        delimiter=delimiter or NO_DELIMITER,
        skipinitialspace=bool(delimiter) and _has_blanks(head, delimiter),
    )
    batch = _Batch()
    names: list[str] = []
    only: list[str] = []  # the first row, while it is the only one
    line, first, end = 1 + skipped, 0, 0
    begin = cells = 0  # of the last row
    fewest = 0  # cells of a row before it
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
                batch.add(filled, fields or tuple(filled), range(line, end + 1), _fields(filled))
            line = end + 1
            if batch.full:
                yield batch.document()
    except csv.Error as error:
        raise ExtractError(f"line {line} is not valid CSV: {error}") from error
    if only and not fields:
        text = ", ".join(cell for each in only if (cell := each.strip()))
        batch.add({"row": text}, ("row",), range(1 + skipped, first + 1), {})
    last = [*recent][-(end - begin + 1) :] if end - begin < MAX_ROW else []
    is_truncated = delimiter and _ends_early(last, delimiter, cells, fewest)
    yield batch.last(fields, _TRUNCATED if is_truncated else "")


@contextmanager
def text_of(file: BinaryIO) -> Iterator[io.TextIOWrapper]:
    """The file as text in the encoding guessed from its beginning, line ends unchanged."""
    head = file.read(SAMPLE)
    encoding, skipped = encoding_of(whole_lines(head) if len(head) == SAMPLE else head)
    file.seek(skipped)
    errors = on_error(encoding)
    text = io.TextIOWrapper(file, encoding=encoding, errors=errors, newline="")
    try:
        yield text
    finally:
        text.detach()  # the caller closes the file


def _delimiter(lines: Sequence[str]) -> str:
    """The delimiter with which most lines have as many cells as the first; empty when the first has
    one cell with any of them.

    >>> _delimiter(["Name;Sum\\n", "tea;1,20\\n"]), _delimiter(["tea\\n", "milk, hot\\n"])
    (';', '')
    """
    for strict in (True, False):
        best, most = "", (0.0, 1)
        for delimiter in "\t;|,":  # of equal ones, the one that is rarer in texts
            counts = _cells(lines, delimiter, strict=strict, blanks=strict)
            first = counts[0] if counts else 0
            alike = (counts.count(first) / len(counts) if counts else 0.0, first)
            if first > 1 and alike > most:
                best, most = delimiter, alike
        if best:
            return best
    return ""


def _has_blanks(lines: Sequence[str], delimiter: str) -> bool:
    """Whether there is a blank before quoted cells: `1, "a, b"`.

    >>> _has_blanks(['1, "a, b"\\n'], ","), _has_blanks(['1, 5" pipe\\n'], ",")
    (True, False)
    """
    blank = any(f'{delimiter} "' in line for line in lines)
    return blank and bool(_cells(lines, delimiter, strict=True, blanks=True))


def _cells(
    lines: Sequence[str], delimiter: str, *, strict: bool, blanks: bool = False
) -> list[int]:
    """How many cells each row has; [] when strict and text follows a closing quote. blanks: skip
    those before a cell."""
    rows = csv.reader(lines, delimiter=delimiter, strict=strict, skipinitialspace=blanks)
    counts: list[int] = []
    try:
        counts += (len(row) for row in rows if row)
    except csv.Error:
        if rows.line_num < len(lines):  # else the last cell continues after the given lines
            return []
    return counts


def _fields(row: Mapping[str, object]) -> dict[str, object]:
    """The fields of a row for filters. Names of nested objects are joined by dots; long texts are
    skipped.

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
                    result[clean(above + name)] = [_clean_value(item) for item in items]
            elif _is_plain(value):
                result[clean(above + name)] = _clean_value(value)
            elif isinstance(value, dict) and depth:
                pending.append((f"{above}{name}.", value, depth - 1))
    return result


def _is_plain(value: object) -> bool:
    """Whether a value can be stored in a field."""
    if isinstance(value, str):
        return 0 < len(value) <= MAX_PROPERTY
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and value.bit_length() <= 64


def _clean_value(value: object) -> object:
    return clean(value) if isinstance(value, str) else value


def _number(value: object) -> str:
    """A number as text (in CSV all values are text); empty for other values."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _columns(row: Sequence[str]) -> list[str]:
    """The names of columns, made unique.

    >>> _columns(["a", "", "a"])
    ['a', 'column 2', 'a (column 3)']
    """
    names: dict[str, None] = {}
    for i, cell in enumerate(row, 1):
        name = cell.strip() or f"column {i}"
        names[f"{name} (column {i})" if name in names else name] = None
    return [*names]


def _text(value: object, depth: int = MAX_DEPTH) -> str:
    """The text of a value. Of an object, the text of the usual fields (TITLES, TEXTS), else of all;
    of a list, the text of its items.

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


class _Batch:
    """Collects rows for a document."""

    def __init__(self) -> None:
        self._builder = Builder()
        self._size = 0
        self._empty = True  # no row so far has text
        self._names: dict[str, None] = {}  # names of all fields, while no row has text

    @property
    def full(self) -> bool:
        return self._size >= BATCH_SIZE

    def add(
        self,
        row: Mapping[str, str],
        fields: tuple[str, ...],
        lines: Sequence[int],
        own: Mapping[str, object],
    ) -> None:
        """Add a row. row: its texts by name; fields: the names of those to read; lines: the line
        numbers of the row; own: the row's fields for filters."""
        title = next((name for name in TITLES if name in row), "")
        names = [name for name in fields if row.get(name)]
        self._builder.part()
        self._builder.fields(own)
        self._builder.headings(row[title] if title else "")
        if len([name for name in names if name != title]) <= 1:  # names would add nothing
            text = "\n".join(row[name] for name in names)
        else:
            text = "\n".join(f"{name}: {row[name]}" for name in names)
        if more := text.count("\n"):  # further lines of the text have the row's last line number
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
        """The last document. Raises NoTextError when no row had text."""
        if self._empty:
            names = [*islice(self._names, MAX_LISTED), *["…"] * (len(self._names) > MAX_LISTED)]
            there = f"; there are: {', '.join(names)}" if names else ""
            under = f" under {', '.join(fields)}{there} (--fields)" if fields else ""
            raise NoTextError(f"no row has text{under}")
        self._builder.note = note
        return self.document()
