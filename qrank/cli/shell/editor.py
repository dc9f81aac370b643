"""Opening a file at a line in the user's editor, without a shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from qrank import files
from qrank.cli.input.words import split
from qrank.cli.shell import copies
from qrank.cli.state import Run
from qrank.errors import InputError
from qrank.names import WINDOWS, disk_path, on_disk
from qrank.results import IN_ARCHIVE

# PATH:LINE[:COLUMN] or, as search prints it, PATH:FROM-TO (page N); PATH#page=N.
_PLACE = re.compile(
    r"(.+?):(\d{1,9})(?::(\d{1,9})|[-–]\d{1,9})?:?(?: \((?:page|slide|sheet) (\d{1,9})\))?",
    re.DOTALL,
)
_PAGE = re.compile(r"(.+)#page=(\d{1,9})", re.DOTALL)
_GOTO = (
    "code",
    "code-insiders",
    "codium",
    "vscodium",
    "cursor",
    "windsurf",
)  # --goto path:line:column
_COLON = ("subl", "zed", "hx", "helix", "atom", "lapce")  # path:line:column
_LINE = ("idea", "pycharm", "goland", "webstorm", "clion", "rubymine", "kate", "gedit")


class Place(NamedTuple):
    """A place in a file, line and column counted from 1."""

    path: Path
    line: int
    column: int = 1
    text: str | None = None  # to be opened as a copy, if the file itself is not plain text
    page: int | None = None

    @property
    def within(self) -> str:
        """LINE or LINE:COLUMN."""
        return f"{self.line}:{self.column}" if self.column > 1 else str(self.line)


def place(name: str, run: Run) -> Place:
    """The place of a chunk's id, or of PATH[:LINE[:COLUMN]]. The text of a file in an archive is
    taken from the index.

    Raises InputError when there is no such chunk or file.
    """
    path, line, column = name, 1, 1
    page: int | None = None
    exists = os.path.exists(on_disk(disk_path(name)))  # noqa: PTH110
    if not exists and re.fullmatch(r"c[a-z2-9]{11}", name):
        with run.open_index() as index:
            chunk = index.get(name)
        path, line, page = chunk.location, chunk.start_line, chunk.page
    elif not exists and (match := _PLACE.fullmatch(name)):
        path, line, column = match[1], int(match[2]), int(match[3] or 1)
        page = int(match[4]) if match[4] else None
    elif not exists and (match := _PAGE.fullmatch(name)):
        path, page = match[1], int(match[2])
    file = Path(on_disk(disk_path(path)))
    outer = path.partition(IN_ARCHIVE)[0]
    if not file.is_file() and IN_ARCHIVE in path and Path(on_disk(disk_path(outer))).is_file():
        with run.open_index() as index:
            return Place(file, line, column, copies.text_of(index.at(path)), page)
    if file.is_dir():
        raise InputError(f"{path} is a folder", hint="give the id of a result, or PATH:LINE")
    if not file.is_file():
        raise InputError(f"there is no file {path}", hint="give the id of a result, or PATH:LINE")
    return Place(file, line, column, None, page)


def is_text(file: Path) -> bool:
    """Whether a file looks like plain text, by its first bytes."""
    try:
        with file.open("rb") as opened:
            head = opened.read(1024)
    except OSError:
        return True  # the editor reports the error
    utf16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    return utf16 or not (b"\0" in head or head.startswith((b"%PDF-", b"{\\rtf")))


def _editor(environment: Mapping[str, str]) -> str:
    default = "notepad" if WINDOWS else "vi"
    return environment.get("VISUAL") or environment.get("EDITOR") or default


def _viewer(environment: Mapping[str, str]) -> str:
    """The system's command that opens a file in its default program; "" if there is none."""
    if WINDOWS:
        return "explorer"
    if sys.platform == "darwin":
        return "open"
    if not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")):
        return ""
    return shutil.which("xdg-open", path=environment.get("PATH")) or ""


def edit(place: Place, run: Run) -> int:
    """Run the editor of VISUAL or EDITOR, else vi (notepad on Windows); returns its exit status.

    A file that is not plain text is opened in the system's viewer, unless the editor's command
    contains {path}. For a file in an archive, and without a viewer, the editor opens a copy of the
    indexed text. Raises InputError when a program can't be started, or the copy can't be made."""
    editor, viewer = _editor(run.environment), _viewer(run.environment)
    needs_viewer = place.text is None and "{path}" not in editor and not is_text(place.path)
    if needs_viewer and not viewer:
        place = _with_text(place, run)
    if place.text is not None:
        member = str(place.path).replace("\\", "/").rpartition(IN_ARCHIVE)[2]
        place = place._replace(path=copies.copy(place.text, member))
    command = [viewer, str(place.path)] if needs_viewer and viewer else arguments(editor, place)
    try:
        return subprocess.run(command, check=False).returncode
    except OSError as error:
        raise InputError(
            f"can't start {command[0]}: {files.reason(error)}", hint="set EDITOR"
        ) from error


def _with_text(place: Place, run: Run) -> Place:
    """The place with the indexed text of its file. Raises InputError when it is not indexed."""
    with run.open_index() as index:
        chunks = index.at(str(place.path))
    line = place.line
    if place.page is not None and line == 1:
        line = next((chunk.start_line for chunk in chunks if chunk.page == place.page), 1)
    return place._replace(line=line, text=copies.text_of(chunks))


def arguments(editor: str, place: Place) -> list[str]:
    """The command that opens a place in an editor. Raises InputError when editor is not valid.

    In a command with {path}, that and {line}, {column}, {page} (1 without pages) are replaced;
    otherwise the line is passed as the editor expects it. (The editor is no setting, because a
    project's config must not name a program to run.)
    """
    try:
        words = split(editor)
    except ValueError as error:
        raise InputError(
            f"can't parse the editor command {editor!r}: {str(error).lower()}"
        ) from error
    if not words:
        raise InputError("the editor command is empty", hint="set EDITOR")
    path, line = place.path, place.line
    if any("{path}" in word for word in words):
        values = {"{path}": str(path), "{line}": str(line), "{column}": str(place.column)}
        values["{page}"] = str(place.page or 1)
        return [re.sub(r"\{(?:path|line|column|page)\}", lambda m: values[m[0]], w) for w in words]
    name = PureWindowsPath(words[0]).name  # splits at both / and \
    name = re.sub(r"\.(exe|cmd|bat)$", "", name.lower())
    if name == "notepad":
        return [*words, str(path)]
    if name in _GOTO:
        return [*words, "--goto", f"{path}:{place.within}"]
    if name in _COLON:
        return [*words, f"{path}:{place.within}"]
    if name in _LINE:
        return [*words, "--line", str(line), str(path)]
    return [*words, f"+{line}", str(path)]  # vi, vim, nano, emacs, kak, micro, less, …
