"""Jupyter notebooks: Markdown cells as Markdown, code cells with their outputs.

The format: nbformat 4 (nbformat.readthedocs.io); notebooks of version 3 have cells in worksheets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.decode import decode
from qrank.ingest.extract import html, markdown
from qrank.ingest.extract.building import Builder, Omissions, truncated
from qrank.results import Document

MAX_OUTPUT = 4_000  # characters of an output that are read; longer ones are mostly data
MAX_RICH = 1 << 20  # characters of an HTML or SVG output that are parsed
_CELLS = re.compile(r'"cells"\s*:\s*\[')
_SEPARATOR = re.compile(r"[\s,]*")
# Python's default repr of an object.
_REPR = re.compile(r"\s*<[\w.]+(?: object| at 0x)[^\n]*>\s*")
# Types of outputs that can't be read. (Widgets are not stored in the notebook.)
_DATA = re.compile(r"application/(?!vnd\.jupyter\.widget)[\w.+-]{1,100}")
_PROGRESS = re.compile(r"[^\n]*\r(?=[^\n])")  # overwritten text, as of a progress bar


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the document, without line numbers: an editor does not show the lines of the JSON."""
    text = decode(file.read())[0]
    builder = Builder()
    try:
        cells = _cells(json.loads(text, strict=False))
    except (ValueError, RecursionError) as error:
        cells = list(_whole_cells(text))
        at = len(text[: getattr(error, "pos", 0)].encode("utf-8", "replace"))
        size = len(text.encode("utf-8", "replace"))
        is_truncated = at >= len(text.rstrip().encode("utf-8", "replace")) or "Unterminated" in str(
            error
        )
        if not cells:
            starts = is_truncated and text.lstrip().startswith("{")
            raise ExtractError(
                truncated(size) if starts else "damaged, or not a notebook"
            ) from error
        what = truncated(size) if is_truncated else f"no JSON from byte {at:,} on"
        builder.note = f"{what}: only the {len(cells)} cells before are read"
    omissions = Omissions()
    bad = sum(not _cell(builder, cell, omissions) for cell in cells)
    note = builder.note or (f"{bad} of {len(cells)} cells can't be read" if bad else "")
    builder.note = "; ".join(filter(None, (note, omissions.note())))
    yield builder.document(builder.first_heading)


def _cells(notebook: object) -> list[Any]:
    """The cells. Raises ExtractError when it is not a notebook."""
    if not isinstance(notebook, dict):
        raise ExtractError("damaged, or not a notebook")
    sheets = notebook.get("worksheets") or [notebook]
    lists = [sheet.get("cells") for sheet in _list(sheets) if isinstance(sheet, dict)]
    if not any(isinstance(each, list) for each in lists):
        raise ExtractError("damaged, or not a notebook: it holds no list of cells")
    return [cell for each in lists for cell in _list(each)]


def _whole_cells(text: str) -> Iterator[Any]:
    """The valid cells at the beginning of a truncated or damaged notebook."""
    start = _CELLS.search(text)
    at = start.end() if start else len(text)
    while at < len(text):
        at = _SEPARATOR.match(text, at).end()  # type: ignore[union-attr]  # it always matches
        try:
            cell, at = json.JSONDecoder(strict=False).raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        yield cell


def _cell(builder: Builder, cell: object, omissions: Omissions) -> bool:
    """Add a cell; returns False when it is not valid."""
    if not isinstance(cell, dict):
        return False
    source = _text(cell.get("source") or cell.get("input"))
    if cell.get("cell_type") == "heading":  # nbformat 3
        level = cell.get("level")
        builder.heading(level if isinstance(level, int) and level > 0 else 1, source)
    elif cell.get("cell_type") == "markdown":
        markdown.add(builder, source)
    else:
        builder.paragraph(source)
        for output in _list(cell.get("outputs")):
            if isinstance(output, dict):
                _output(builder, output, omissions)
    return True


def _output(builder: Builder, output: dict[str, Any], omissions: Omissions) -> None:
    """Add the text of an output: of several formats the plain text, unless it is only a default
    repr."""
    if "ename" in output or "evalue" in output:
        words = (_text(output.get("ename")), _text(output.get("evalue")))
        builder.paragraph(": ".join(filter(None, words))[:MAX_OUTPUT])
        return
    data = output.get("data")
    data = data if isinstance(data, dict) else output
    plain = _text(data.get("text/plain") or data.get("text"))
    if plain.strip() and not _REPR.fullmatch(plain):
        plain = plain.replace("\r\n", "\n")
        builder.paragraph(_PROGRESS.sub("", plain)[:MAX_OUTPUT])
    elif rich := _text(data.get("text/markdown") or data.get("markdown")):
        inner = Builder()
        markdown.add(inner, rich[:MAX_OUTPUT])
        builder.paragraph(inner.document().text)
    elif rich := _text(data.get("text/html") or data.get("html")):
        inner = Builder()
        html.add(inner, rich[:MAX_RICH], line=None)
        builder.paragraph(inner.document().text[:MAX_OUTPUT])
    elif rich := _text(data.get("text/latex") or data.get("latex")):
        builder.paragraph(rich[:MAX_OUTPUT])
    elif rich := _text(data.get("image/svg+xml") or data.get("svg")):
        inner = Builder()
        html.add(inner, rich[:MAX_RICH], line=None)
        builder.paragraph(inner.document().text[:MAX_OUTPUT])
    else:
        kind = next((name for name in data if _DATA.fullmatch(str(name))), "")
        if kind:
            omissions.count(f"{kind} output")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    """A text of nbformat, which is a string or a list of lines."""
    if isinstance(value, list):
        return "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""
