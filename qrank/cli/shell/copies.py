"""Temporary copies of extracted texts, to open them in the editor.

A graphical editor may return before it has read the file, so a copy stays in the user's cache
folder for a day.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from qrank import files
from qrank.errors import InputError
from qrank.names import WINDOWS
from qrank.results import IndexedChunk

LIFETIME = 24 * 60 * 60  # seconds
MAX_NAME = 80  # characters
# Formats that are not plain text: with such a suffix, an editor may not show the extracted text.
_NO_TEXT = re.compile(
    r"\.(?:pdf|do[ct][xm]?|p[op][ts][xm]?|xl[st][xmb]?|f?od[tpsgm]|ot[tpsg]|msg|epub|rtf|eml|mbox"
    r"|html?|xhtml|ipynb|fb2|gz|bz2|xz)",
    re.IGNORECASE,
)


def text_of(chunks: Iterable[IndexedChunk]) -> str:
    """The text of a document, with each chunk at its line number if possible."""
    lines: list[str] = []
    for chunk in chunks:
        first, *rest = chunk.text.split("\n")
        if lines and chunk.start_line == len(lines):  # it continues the last line
            lines[-1] += f" {first}"
        else:
            lines += [""] * (chunk.start_line - 1 - len(lines)) + [first]
        lines += rest
    return "\n".join(lines) + "\n"


def copy(text: str, member: str) -> Path:
    """Write text to a read-only temporary file, named like member, the file in an archive that it
    is from. Raises InputError when it can't be written."""
    folder = files.user_folder("cache") / "opened"
    name = re.sub(r"[^\w.() -]", "_", PurePosixPath(member.replace("\\", "/")).name)[-MAX_NAME:]
    if _NO_TEXT.fullmatch(PurePosixPath(name).suffix) or "." not in name:
        name += ".txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clean(folder)
        path = Path(tempfile.mkdtemp(dir=folder)) / name
        path.write_text(text, "utf-8", newline="")
        if not WINDOWS:
            path.chmod(0o400)
    except OSError as error:
        raise InputError(f"can't write a copy to {folder}: {files.reason(error)}") from error
    return path


def _clean(folder: Path) -> None:
    for old in folder.iterdir():
        with suppress(OSError):
            if old.stat().st_mtime < time.time() - LIFETIME:
                shutil.rmtree(old)
