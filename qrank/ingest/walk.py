"""Which files lie under a path: folders in order, ignore rules honoured, links never followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qrank.results import FileProblem, FoundFile

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILES = (".gitignore", ".ignore", ".qrankignore")  # a later one overrules an earlier one
MAX_IGNORE_BYTES = 1 << 20
Rules = list[tuple[Path, "GitIgnoreSpec"]]


def walk(root: Path, on_problem: Callable[[FileProblem], None]) -> Iterator[FoundFile]:
    """Yield the regular files under root, sorted by path; root itself when it is a file.

    Hidden files and what the ignore files exclude are left out below root, never root itself.
    What can't be read is given to on_problem and passed over.
    """
    if root.is_dir():
        yield from _folder(root, on_problem)
        return
    found = _regular_file(root, on_problem)
    if found:
        yield found
    elif root.exists():
        on_problem(FileProblem(str(root), "not a regular file"))


def _folder(top: Path, on_problem: Callable[[FileProblem], None]) -> Iterator[FoundFile]:
    """Depth first with a stack of our own: a tree may be deeper than Python's."""
    pending: list[tuple[Path, Rules, bool]] = [(top, [], True)]
    while pending:
        path, rules, is_folder = pending.pop()
        if not is_folder:
            found = _regular_file(path, on_problem)
            if found:
                yield found
            continue
        try:
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            on_problem(FileProblem(str(path), _reason(error)))
            continue
        rules = rules + [(path, spec) for spec in map(_read_rules, _ignore_files(path, entries))]
        for entry in entries:
            below = entry.is_dir(follow_symlinks=False)
            if entry.name.startswith(".") or _ignored(Path(entry.path), below, rules):
                continue
            if below or entry.is_file(follow_symlinks=False):
                pending.append((Path(entry.path), rules, below))


def _ignore_files(folder: Path, entries: list[os.DirEntry[str]]) -> list[Path]:
    """The ignore files among a folder's entries, those that overrule others last."""
    plain = {entry.name for entry in entries if entry.is_file()}
    return [folder / name for name in IGNORE_FILES if name in plain]


def _regular_file(path: Path, on_problem: Callable[[FileProblem], None]) -> FoundFile | None:
    try:
        str(path).encode("utf-8")
        info = path.stat()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        on_problem(FileProblem(shown, "its name is not UTF-8"))
        return None
    except OSError as error:
        on_problem(FileProblem(str(path), _reason(error)))
        return None
    if not stat.S_ISREG(info.st_mode):
        return None
    return FoundFile(path, info.st_size, info.st_mtime_ns)


def _read_rules(path: Path) -> GitIgnoreSpec:
    """An ignore file's rules; a line that is none is passed over, as git does."""
    from pathspec import GitIgnoreSpec

    try:
        with path.open("rb") as file:
            lines = file.read(MAX_IGNORE_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:  # an ignore file that can't be read ignores nothing
        lines = []
    patterns: list[str] = []
    for line in lines:
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            continue
        patterns.append(line)
    return GitIgnoreSpec.from_lines(patterns)


def _ignored(path: Path, is_folder: bool, rules: Rules) -> bool:
    for folder, spec in reversed(rules):  # the deepest ignore file has the last word
        name = path.relative_to(folder).as_posix() + ("/" if is_folder else "")
        verdict = spec.check_file(name).include
        if verdict is not None:
            return verdict
    return False


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
