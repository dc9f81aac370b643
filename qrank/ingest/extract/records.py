"""Records: JSONL and CSV, each row a part of its own under its title, with its line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.decode import encoding_of
from qrank.ingest.extract.building import Builder
from qrank.results import Document

TITLES = ("title", "name", "subject", "headline")
TEXTS = (
    *("text", "body", "content", "abstract", "summary", "description", "message"),
    *("question", "answer", "prompt", "completion", "comment"),
)
STRETCH = 1 << 20  # characters that are handed on at once
MAX_FIELD = 16 << 20


def extract_jsonl(file: BinaryIO, fields: tuple[str, ...] = ()) -> Iterator[Document]:
    """Yield the rows, a stretch at a time. Without fields: those with the usual names of titles
    and texts, else all that are strings. Raises ExtractError when no line is a JSON object."""
    stretch = _Stretch()
    good = bad = 0
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            bad += 1
            continue
        good += 1
        strings = {key: text for key, value in row.items() if (text := _string(value))}
        usual = tuple(name for name in TITLES[:1] + TEXTS if name in strings)
        stretch.add(strings, fields or usual or tuple(strings), number)
        if stretch.full:
            yield stretch.document()
    if bad and not good:
        raise ExtractError("no line of it is a JSON object")
    yield stretch.document()


def extract_csv(file: BinaryIO, fields: tuple[str, ...] = ()) -> Iterator[Document]:
    """Yield the rows, a stretch at a time; the first row names the columns. Without fields: all."""
    head = file.read(65_536)
    file.seek(0)
    encoding, skipped = encoding_of(head)
    file.seek(skipped)
    text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
    try:
        dialect: type[csv.Dialect] | csv.Dialect = csv.Sniffer().sniff(
            head[skipped:].decode(encoding, "replace"), delimiters=",;\t|"
        )
    except csv.Error:
        dialect = csv.excel_tab if b"\t" in head.partition(b"\n")[0] else csv.excel
    csv.field_size_limit(MAX_FIELD)
    rows = csv.reader((line.replace("\0", "") for line in text), dialect)
    stretch = _Stretch()
    names: list[str] = []
    line = 1
    try:
        for row in rows:
            if not names:
                names = [name.strip() or f"column {i}" for i, name in enumerate(row, 1)]
            else:
                filled = {n: value.strip() for n, value in zip(names, row, strict=False) if value}
                stretch.add(filled, fields or tuple(filled), line)
            line = rows.line_num + 1
            if stretch.full:
                yield stretch.document()
    except csv.Error as error:
        raise ExtractError(f"line {line} is no CSV: {error}") from error
    finally:
        text.detach()
    yield stretch.document()


def _string(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return ""


class _Stretch:
    """Rows on their way into a document."""

    def __init__(self) -> None:
        self._builder = Builder()
        self._size = 0

    @property
    def full(self) -> bool:
        return self._size >= STRETCH

    def add(self, row: Mapping[str, str], wanted: tuple[str, ...], line: int) -> None:
        title = next((name for name in TITLES if name in row), "")
        names = [name for name in wanted if row.get(name)]
        self._builder.part()
        self._builder.headings(row[title] if title else "")
        if len([name for name in names if name != title]) <= 1:  # they speak for themselves
            text = "\n".join(row[name] for name in names)
        else:
            text = "\n".join(f"{name}: {row[name]}" for name in names)
        self._builder.paragraph(text, line)
        self._size += len(text)

    def document(self) -> Document:
        done, self._builder, self._size = self._builder, Builder(), 0
        return done.document()
