"""JSON files: their own lines, with what is escaped in strings as it is meant."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from qrank.ingest.extract import plain
from qrank.ingest.extract.building import clean, truncated
from qrank.ingest.extract.records import STRETCH, text_of
from qrank.results import Document

MAX_PARSED = 1 << 20  # bytes
_CLOSED = {"{": "}", "[": "]"}
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)++"')  # one with an escape in it


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the text, a stretch at a time; a line break in a string begins a line, which is on the
    string's own line of the file."""
    texts: list[str] = []
    lines: list[int] = []
    size = 0
    first = last = ""
    with text_of(file) as source:
        for number, line in enumerate(source, 1):
            if bare := line.strip():
                first, last = first or bare[0], bare[-1]
            text = clean(_STRING.sub(_unescaped, line)).rstrip("\n")
            texts.append(text)
            lines += [number] * (text.count("\n") + 1)
            size += len(text)
            if size >= STRETCH:
                yield _document(texts, lines)
                texts, lines, size = [], [], 0
    document = _document(texts, lines)
    end = file.seek(0, io.SEEK_END)
    open_still = _CLOSED.get(first, last) != last
    if _ends_early(file) if end <= MAX_PARSED else open_still:
        document = document._replace(note=truncated(end))
    yield document


def _ends_early(file: BinaryIO) -> bool:
    """Whether more was to come."""
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


def _unescaped(string: re.Match[str]) -> str:
    """A string's value in its quotes; as it is when it is no string of JSON.

    >>> _STRING.sub(_unescaped, r'{"a": "\\u0160koda\\n\\"x\\""}')
    '{"a": "Škoda\\n"x""}'
    """
    try:
        return f'"{json.loads(string[0], strict=False)}"'
    except ValueError:
        return string[0]
