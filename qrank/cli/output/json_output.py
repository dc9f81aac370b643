"""Output for programs: JSON, paths, plain text. UTF-8 without ASCII escapes, on stdout."""

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

    from qrank.cli.input.records import Item
    from qrank.results import Packed

_OBEYED = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def document(value: object) -> None:
    """Print one JSON document; on a terminal indented."""
    _write(json_form.document(value, indent=sys.stdout.isatty()))


def line(value: object) -> None:
    """Print one JSON object on a line of its own, at once."""
    _write(json_form.line(value))
    sys.stdout.flush()


def table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print objects with the same fields as CSV (RFC 4180, but lines end in a newline alone), their
    names first; lists and objects in them as JSON."""
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
    if sys.stdout.isatty():  # what JSON leaves as it is, but a terminal may obey
        text = _OBEYED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    # Surrogates can come from JSON input ("\ud800"); UTF-8 has no bytes for them.
    data = text.encode("utf-8", "replace") + b"\n"
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def text(value: str, end: str) -> None:
    """Print a value as it is; on a terminal, escaped."""
    shown = escape_line(value) if sys.stdout.isatty() else value
    sys.stdout.flush()
    sys.stdout.buffer.write((shown + end).encode("utf-8", "replace"))


def path(value: str, end: str) -> None:
    """Print a path: on a terminal escaped, for other programs its bytes on disk."""
    if sys.stdout.isatty():
        text(value, end)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(disk_bytes(value) + end.encode())


def packed_text(packed: Packed) -> None:
    """Print the packed chunks as text, each under a line that says where it is from."""
    for chunk in packed.chunks:
        path = path_from(chunk.location, current().folder)
        place = with_place(path, chunk.start_line, chunk.end_line, chunk.page)
        text(f"[{place}] {chunk.heading}".rstrip(), "\n")
        body = escape_text(chunk.text) if sys.stdout.isatty() else chunk.text
        sys.stdout.buffer.write(f"{body}\n\n".encode("utf-8", "replace"))


def embeddings(items: Sequence[Item], vectors: NDArray[np.float32]) -> None:
    """Print texts with their vectors, one a line, other fields kept."""
    for item, vector in zip(items, vectors.astype(float).round(7).tolist(), strict=True):
        line(json_form.embedded_text(item.fields, item.text, vector))
