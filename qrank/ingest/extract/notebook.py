"""Jupyter notebooks: Markdown cells as Markdown, code cells with their text output.

The format: nbformat 4 (nbformat.readthedocs.io); older ones keep their cells in worksheets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract import markdown
from qrank.ingest.extract.building import Builder
from qrank.results import Document

MAX_OUTPUT = 4_000  # characters of a cell's output; more is data


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the document; cells have no lines that an editor shows, so none are given."""
    try:
        notebook = json.load(file)
        sheets = notebook.get("worksheets") or [notebook]
        cells = [cell for sheet in sheets for cell in sheet.get("cells", [])]
        builder = Builder()
        for cell in cells:
            _cell(builder, cell)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ExtractError("damaged, or no notebook") from error
    yield builder.document(builder.first_heading)


def _cell(builder: Builder, cell: dict[str, Any]) -> None:
    source = _text(cell.get("source", cell.get("input", "")))
    if cell.get("cell_type") == "heading":  # nbformat 3
        builder.heading(int(cell.get("level", 1)), source)
    elif cell.get("cell_type") == "markdown":
        _, blocks, _ = markdown.extract(source)
        before: tuple[str, ...] = ()
        for block in blocks:
            if block.heading != before:
                _headings(builder, source[block.start : block.end])
                before = block.heading
            builder.paragraph(_without_headings(source[block.start : block.end]))
    else:
        builder.paragraph(source)
        for output in cell.get("outputs", []):
            data = output.get("data", output)
            shown = _text(data.get("text/plain", data.get("text", data.get("evalue", ""))))
            builder.paragraph(shown[:MAX_OUTPUT])


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)


def _headings(builder: Builder, text: str) -> None:
    for line in text.splitlines():
        if line.startswith("#") and line.lstrip("#")[:1] in ("", " "):
            builder.heading(len(line) - len(line.lstrip("#")), line.strip("# "))
        elif line.strip():
            return


def _without_headings(text: str) -> str:
    lines = text.strip("\n").splitlines()
    at = 0
    while at < len(lines) and (
        not lines[at].strip() or (lines[at].lstrip("#")[:1] == " " and lines[at][0] == "#")
    ):
        at += 1
    return "\n".join(lines[at:])
