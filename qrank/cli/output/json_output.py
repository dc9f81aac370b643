"""Output for programs to stdout: JSON, paths, plain text; in UTF-8, without ASCII escapes."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from qrank import json_form
from qrank.cli.output.escape import escape_line, escape_text
from qrank.cli.output.view import with_place
from qrank.cli.state import current
from qrank.names import disk_bytes, path_from

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qrank import Packed
    from qrank.cli.input.records import Item

_CONTROL = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # not escaped by json


def document(value: object) -> None:
    """Print one JSON document, indented on a terminal."""
    _write(json_form.document(value, indent=sys.stdout.isatty()))


def line(value: object) -> None:
    """Print one JSON object on a line, and flush."""
    _write(json_form.line(value))
    sys.stdout.flush()


def table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print objects with the same fields as CSV with a header (RFC 4180, but with \\n as line end);
    lists and objects in them as JSON."""
    import csv

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
    for row in rows:
        writer.writerow(
            json_form.line(value) if isinstance(value, dict | list | bool) else value
            for value in row.values()
        )
    if rows:
        _write(out.getvalue().removesuffix("\n"))


def _write(text: str) -> None:
    if sys.stdout.isatty():  # escape the control characters that JSON leaves unescaped
        text = _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    # JSON input may contain surrogates ("\ud800"), which can't be encoded.
    data = text.encode("utf-8", "replace") + b"\n"
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def text(value: str, end: str) -> None:
    """Print a value, escaped on a terminal; end: what follows it."""
    shown = escape_line(value) if sys.stdout.isatty() else value
    sys.stdout.flush()
    sys.stdout.buffer.write((shown + end).encode("utf-8", "replace"))


def path(value: str, end: str) -> None:
    """Print a path: escaped on a terminal, else its bytes as on disk."""
    if sys.stdout.isatty():
        text(value, end)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(disk_bytes(value) + end.encode())


def packed_text(packed: Packed) -> None:
    """Print the packed chunks as text, each under a line with its location."""
    for chunk in packed.chunks:
        path = path_from(chunk.location, current().folder)
        place = with_place(path, chunk.start_line, chunk.end_line, chunk.page)
        text(f"[{place}] {chunk.heading}".rstrip(), "\n")
        body = escape_text(chunk.text) if sys.stdout.isatty() else chunk.text
        sys.stdout.buffer.write(f"{body}\n\n".encode("utf-8", "replace"))


def embeddings(items: Sequence[Item], vectors: NDArray[np.float32]) -> None:
    """Print each text with its vector as one JSON object per line, with the item's other fields.
    vectors: of shape (items, dims)."""
    for item, vector in zip(items, vectors.astype(float).round(7).tolist(), strict=True):
        line(json_form.embedded_text(item.fields, item.text, vector))
