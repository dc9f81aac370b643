"""Reading records from stdin or a file: lines, JSONL, or NUL-separated texts."""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from qrank import files
from qrank.errors import InputError
from qrank.names import from_bytes

_BLOCK = 1 << 16


class Format(StrEnum):
    """The format of the input."""

    lines = "lines"
    jsonl = "jsonl"
    nul = "nul"


@dataclass(frozen=True, slots=True)
class Item:
    """A record: its text, format, number (of the line or part, from 1), and in JSONL its fields."""

    text: str
    form: Format
    number: int
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def is_object(self) -> bool:
        """Whether it is a JSON object."""
        return self.form is Format.jsonl


def texts(form: Format | None, *, names: bool = False) -> Iterator[Item]:
    """Read texts from stdin; without form, the format is detected from the first line.

    Of the output of `rg --json`, the matching lines are read. names: the texts are file names,
    which need not be UTF-8. Raises InputError for a JSONL line that is not an object with a string
    "text".
    """
    if sys.stdin.isatty():
        print("qrank: reading from the terminal; end with Ctrl-D", file=sys.stderr)
    return _items(sys.stdin.buffer, form, "text", "stdin", from_bytes if names else _decoded)


def queries(file: Path, form: Format | None) -> Iterator[Item]:
    """Read the queries of a file: one per line, or JSONL objects with "query"; - is stdin.

    Raises InputError when it can't be read, or a JSONL line is not such an object.
    """
    if str(file) == "-":
        yield from _items(sys.stdin.buffer, form, "query", "stdin", _decoded)
        return
    try:
        with file.open("rb") as stream:
            yield from _items(stream, form, "query", str(file), _decoded)
    except OSError as error:
        raise InputError(f"can't read {file}: {files.reason(error)}") from error


def _items(
    stream: IO[bytes],
    form: Format | None,
    key: str,
    name: str,
    decoded: Callable[[bytes], str],
) -> Iterator[Item]:
    if form is Format.nul:
        yield from _parts(stream, b"", decoded)
        return
    blank = 0  # blank lines before the format is detected
    for number, line in enumerate(_utf8_lines(stream), 1):
        if form is None:
            if not line.strip():
                blank += 1
                continue
            if b"\0" in line:
                yield from _parts(stream, b"\n" * blank + line, decoded)
                return
            form = Format.jsonl if _is_object(line) else Format.lines
            if form is Format.lines:
                yield from (Item("", form, above) for above in range(1, blank + 1))
        if form is Format.lines:
            yield Item(decoded(line.rstrip(b"\r\n")), form, number)
        elif line.strip():
            fields = _object(line, f"{name}, line {number}")
            text = fields.get(key)
            if text is None and key == "text" and _is_of_ripgrep(fields):
                yield from _matched(fields, number)
                continue
            if not isinstance(text, str):
                raise InputError(f'{name}, line {number}: "{key}" is missing or not a string')
            yield Item(text, form, number, fields)


def file_texts(names: Sequence[Item], warn: Callable[[str], None]) -> Iterator[Item]:
    """Read the files that items name: each becomes an item with its path and the start of its
    text. warn is called with a message for each file that can't be read."""
    from qrank import standalone

    for item, prefix in zip(names, standalone.prefixes([item.text for item in names]), strict=True):
        if prefix.reason:
            warn(f"skipped {item.text}: {prefix.reason}")
        else:
            yield replace(item, text=prefix.text, fields=item.fields | {"path": item.text})


def _is_of_ripgrep(fields: dict[str, Any]) -> bool:
    """Whether an object is from the output of `rg --json`."""
    kinds = ("begin", "match", "context", "end", "summary")
    return fields.get("type") in kinds and isinstance(fields.get("data"), dict)


def _matched(fields: dict[str, Any], number: int) -> Iterator[Item]:
    """The matching line of a ripgrep message of type "match"; nothing for other types."""
    lines = fields["data"].get("lines")
    text = lines.get("text") if fields["type"] == "match" and isinstance(lines, dict) else None
    if isinstance(text, str):
        yield Item(text.rstrip("\r\n"), Format.jsonl, number, fields)


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _parts(stream: IO[bytes], data: bytes, decoded: Callable[[bytes], str]) -> Iterator[Item]:
    for number, part in enumerate(_nul_separated(stream, data), 1):
        yield Item(decoded(part), Format.nul, number)


def _nul_separated(stream: IO[bytes], data: bytes) -> Iterator[bytes]:
    """The texts in data, which was already read, and in the rest of stream."""
    parts: list[bytes] = []  # of the text that is not complete yet
    data = data or stream.read(_BLOCK)
    while data:
        first, *others = data.split(b"\0")
        parts.append(first)
        for other in others:
            yield b"".join(parts)
            parts = [other]
        data = stream.read(_BLOCK)
    rest = b"".join(parts)
    if rest.strip(b"\n"):
        yield rest


def _utf8_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream in UTF-8, without a byte order mark; UTF-16 with a byte order mark is
    converted."""
    first = stream.readline()
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = (first + stream.read()).decode("utf-16", "replace")
        yield from io.BytesIO(text.encode("utf-8", "replace"))
        return
    if first:
        yield first.removeprefix(codecs.BOM_UTF8)
    yield from stream


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _object(line: bytes, place: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise InputError(f"{place}: not a JSON object")
    return value
