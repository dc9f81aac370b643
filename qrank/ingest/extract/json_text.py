"""JSON files: their lines, with the escapes in strings decoded."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from qrank.ingest.extract import plain
from qrank.ingest.extract.building import clean, truncated
from qrank.ingest.extract.records import BATCH_SIZE, text_of
from qrank.results import Document

MAX_PARSED = 1 << 20  # bytes
_CLOSING = {"{": "}", "[": "]"}
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)++"')  # with an escape


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the text in documents of about BATCH_SIZE characters. A line break in a string begins
    a line of the text, whose line number is that of the string."""
    texts: list[str] = []
    lines: list[int] = []
    size = 0
    first = last = ""
    with text_of(file) as source:
        for number, line in enumerate(source, 1):
            if stripped := line.strip():
                first, last = first or stripped[0], stripped[-1]
            text = clean(_STRING.sub(_unescape, line)).rstrip("\n")
            texts.append(text)
            lines += [number] * (text.count("\n") + 1)
            size += len(text)
            if size >= BATCH_SIZE:
                yield _document(texts, lines)
                texts, lines, size = [], [], 0
    document = _document(texts, lines)
    end = file.seek(0, io.SEEK_END)
    is_open = _CLOSING.get(first, last) != last
    if _ends_early(file) if end <= MAX_PARSED else is_open:
        document = document._replace(note=truncated(end))
    yield document


def _ends_early(file: BinaryIO) -> bool:
    """Whether the file ends within a JSON value."""
    file.seek(0)
    with text_of(file) as source:
        text = source.read().strip()
    try:
        json.loads(text, strict=False)
    except json.JSONDecodeError as error:
        return error.pos >= len(text) or error.msg.startswith("Unterminated string")
    except (ValueError, RecursionError):
        pass
    return False


def _document(texts: list[str], lines: list[int]) -> Document:
    text = "\n".join(texts)
    title, blocks = plain.extract(text)
    return Document(text, title, blocks if text.strip() else [], lines=lines)


def _unescape(string: re.Match[str]) -> str:
    """A JSON string decoded, in quotes; unchanged if it is not valid.

    >>> _STRING.sub(_unescape, r'{"a": "\\u0160koda\\n\\"x\\""}')
    '{"a": "Škoda\\n"x""}'
    """
    try:
        return f'"{json.loads(string[0], strict=False)}"'
    except ValueError:
        return string[0]
