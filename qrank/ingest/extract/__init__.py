"""Files -> documents: one module per format family, chosen in the table below."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

from qrank.errors import ExtractError
from qrank.ingest.extract import code, markdown, plain
from qrank.results import Block, Document

VERSION = 1  # part of the index: a change makes every file be extracted and chunked again
MAX_BYTES = 32 << 20
Extractor = Callable[[str], tuple[str, list[Block]]]

_CODE = (
    "bash c cc clj cpp cs css cu cxx dart el erl ex exs fish fs go gradle groovy h hpp hs java jl "
    "js jsx kt kts less lisp lua m mjs ml mm nim php pl pm proto ps1 py pyi r rb rs sass scala "
    "scm scss sh sol sql svelte swift tcl tf ts tsx v vb vim vue zig zsh"
)
EXTRACTORS: dict[str, Extractor] = {
    **dict.fromkeys(("md", "markdown", "mdown", "mkd", "qmd", "rmd"), markdown.extract),
    **dict.fromkeys(_CODE.split(), code.extract),
}


def extract(path: Path, data: bytes) -> Document:
    """Turn a file's bytes into a document; any suffix not in the table is read as plain text.

    Raises ExtractError when the bytes are not UTF-8 text.
    """
    text, offset = _decode(data)
    title, blocks = EXTRACTORS.get(path.suffix[1:].lower(), plain.extract)(text)
    return Document(text, title, blocks, offset)


def _decode(data: bytes) -> tuple[str, int]:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ExtractError("UTF-16 text is not supported yet")
    if b"\0" in data[:8192]:
        raise ExtractError("binary file")
    offset = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    try:
        return data[offset:].decode("utf-8"), offset
    except UnicodeDecodeError:
        raise ExtractError("not UTF-8 text") from None
