"""Opening a file at a line in the user's editor. No shell is involved."""

from __future__ import annotations

import os
import re
import subprocess
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

# Also as a search prints it: PATH:FROM-TO, and a page after it.
_PLACE = re.compile(
    r"(.+?):(\d{1,9})(?::(\d{1,9})|[-–]\d{1,9})?:?(?: \((?:page|slide|sheet) \d{1,9}\))?", re.DOTALL
)
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
    text: str | None = None  # of a file within a file, which the editor gets a copy of

    @property
    def within(self) -> str:
        """LINE or LINE:COLUMN."""
        return f"{self.line}:{self.column}" if self.column > 1 else str(self.line)


def place(name: str, run: Run) -> Place:
    """The place that an id of the index, or PATH[:LINE[:COLUMN]], means. Of a file within a file
    the index has the text.

    Raises InputError when there is no such chunk or file.
    """
    path, line, column = name, 1, 1
    exists = os.path.exists(on_disk(disk_path(name)))  # noqa: PTH110
    if not exists and re.fullmatch(r"c[a-z2-9]{11}", name):
        with run.open_index() as index:
            chunk = index.get(name)
        path, line = chunk.location, chunk.start_line
    elif not exists and (match := _PLACE.fullmatch(name)):
        path, line, column = match[1], int(match[2]), int(match[3] or 1)
    file = Path(on_disk(disk_path(path)))
    outer = path.partition(IN_ARCHIVE)[0]
    if not file.is_file() and IN_ARCHIVE in path and Path(on_disk(disk_path(outer))).is_file():
        with run.open_index() as index:
            return Place(file, line, column, copies.text_of(index.at(path)))
    if not file.is_file():
        raise InputError(f"there is no file {path}", hint="give the id of a result, or PATH:LINE")
    return Place(file, line, column)


def edit(place: Place, environment: Mapping[str, str]) -> int:
    """Run the editor that VISUAL or EDITOR names, else vi (on Windows notepad), and return its
    exit status; of a file within a file it gets a copy. Raises InputError when that fails."""
    if place.text is not None:
        member = str(place.path).replace("\\", "/").rpartition(IN_ARCHIVE)[2]
        place = place._replace(path=copies.copy(place.text, member))
    usual = "notepad" if WINDOWS else "vi"
    name = environment.get("VISUAL") or environment.get("EDITOR") or usual
    command = arguments(name, place)
    try:
        return subprocess.run(command, check=False).returncode
    except OSError as error:
        raise InputError(
            f"can't start the editor {command[0]}: {files.reason(error)}",
            hint="set EDITOR",
        ) from error


def arguments(editor: str, place: Place) -> list[str]:
    """The command line that opens a file in an editor at a line.

    One with {path} in it, and maybe {line} and {column}, is filled in as it stands; others get the
    line in their own way. (It is no setting: a project's config must not name a program to run.)
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
        return [re.sub(r"\{(?:path|line|column)\}", lambda m: values[m[0]], w) for w in words]
    name = PureWindowsPath(words[0]).name  # which takes / and \
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
