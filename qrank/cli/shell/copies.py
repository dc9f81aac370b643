"""Temporary copies of texts that are in no file of their own, for the editor.

An editor may return before it has read the file (one with windows does), so that a copy stays for a
day, in the user's cache folder.
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

KEPT = 24 * 60 * 60  # seconds
MAX_NAME = 80  # characters
# Under these suffixes an editor expects anything but the text that was extracted.
_NO_TEXT = re.compile(
    r"\.(?:pdf|do[ct][xm]?|p[op][ts][xm]?|xl[st][xmb]?|f?od[tpsgm]|ot[tpsg]|msg|epub|rtf|eml|mbox"
    r"|html?|xhtml|ipynb|fb2|gz|bz2|xz)",
    re.IGNORECASE,
)


def text_of(chunks: Iterable[IndexedChunk]) -> str:
    """The text of a document, each chunk of it at its line as far as they do not overlap."""
    lines: list[str] = []
    for chunk in chunks:
        first, *rest = chunk.text.split("\n")
        if lines and chunk.start_line == len(lines):  # it goes on in the line
            lines[-1] += f" {first}"
        else:
            lines += [""] * (chunk.start_line - 1 - len(lines)) + [first]
        lines += rest
    return "\n".join(lines) + "\n"


def copy(text: str, member: str) -> Path:
    """A read-only file with a text, named as a file within another. Raises InputError."""
    from platformdirs import user_cache_path

    folder = user_cache_path("qrank", appauthor=False) / "opened"
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
            if old.stat().st_mtime < time.time() - KEPT:
                shutil.rmtree(old)
