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
Rules = list[tuple[Path, "GitIgnoreSpec"]]


def walk(root: Path, on_problem: Callable[[FileProblem], None]) -> Iterator[FoundFile]:
    """Yield the regular files under root, sorted by path; root itself when it is a file.

    Hidden files and what the ignore files exclude are left out below root, never root itself.
    What can't be read is given to on_problem and passed over.
    """
    if root.is_dir():
        yield from _folder(root, [], on_problem)
        return
    found = _regular_file(root, on_problem)
    if found:
        yield found
    elif root.exists():
        on_problem(FileProblem(str(root), "not a regular file"))


def _folder(
    folder: Path, rules: Rules, on_problem: Callable[[FileProblem], None]
) -> Iterator[FoundFile]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        on_problem(FileProblem(str(folder), _reason(error)))
        return
    names = {entry.name for entry in entries}
    own = [folder / name for name in IGNORE_FILES if name in names]
    rules = rules + [(folder, spec) for spec in map(_read_rules, own) if spec]
    for entry in entries:
        is_folder = entry.is_dir(follow_symlinks=False)
        if entry.name.startswith(".") or _ignored(Path(entry.path), is_folder, rules):
            continue
        if is_folder:
            yield from _folder(Path(entry.path), rules, on_problem)
        elif entry.is_file(follow_symlinks=False):
            found = _regular_file(Path(entry.path), on_problem)
            if found:
                yield found


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


def _read_rules(path: Path) -> GitIgnoreSpec | None:
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(path.read_text("utf-8", "replace").splitlines())
    except (OSError, ValueError):  # an ignore file that can't be read ignores nothing
        return None


def _ignored(path: Path, is_folder: bool, rules: Rules) -> bool:
    for folder, spec in reversed(rules):  # the deepest ignore file has the last word
        name = path.relative_to(folder).as_posix() + ("/" if is_folder else "")
        verdict = spec.check_file(name).include
        if verdict is not None:
            return verdict
    return False


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
