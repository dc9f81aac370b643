"""What is left out of a walk: ignore files as git and ripgrep read them, and globs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qrank.errors import InputError
from qrank.ingest.rules import bounded
from qrank.names import folder_key

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILES = (".gitignore", ".ignore", ".qrankignore")  # a later one overrules an earlier one
_BRACKET = re.compile(r"(?<!\\)\[")
MAX_IGNORE_BYTES = 1 << 20
Rules = tuple[tuple[str, "GitIgnoreSpec"], ...]  # (folder with its slash, rules below it)


def ignored(path: str, is_folder: bool, rules: Rules) -> bool:
    """Whether rules leave a path out; those of the deepest folder have the last word."""
    for folder, spec in reversed(rules):
        name = path[len(folder) :] + ("/" if is_folder else "")
        verdict = spec.check_file(name).include
        if verdict is not None:
            return verdict
    return False


def rules_in(folder: str, names: Iterable[str]) -> Rules:
    """The rules that a folder's own ignore files add, given the names in it."""
    held = set(names)
    prefix = folder_key(folder) + "/"
    files = [prefix + name for name in IGNORE_FILES if name in held]
    if ".git" in held:
        files.insert(0, f"{prefix}.git/info/exclude")
    return tuple((prefix, spec) for spec in map(_read, files) if spec is not None)


def rules_above(root: str, global_files: Iterable[Path]) -> Rules:
    """The rules that hold in root before it is looked into: the user's own for everywhere, and
    those of the folders above it in the same git repository."""
    above: list[str] = []
    folder = root
    while not os.path.lexists(f"{folder}/.git"):
        parent = os.path.dirname(folder)  # noqa: PTH120
        if parent == folder:
            above = []
            break
        above.append(parent)
        folder = parent
    top = above[-1] if above else root
    rules = tuple((folder_key(top) + "/", s) for f in global_files if (s := _read(str(f))))
    for place in reversed(above):
        try:
            rules += rules_in(place, os.listdir(place))  # noqa: PTH208
        except OSError:
            continue
    return rules


class Globs:
    """What `-g` asks for, as ripgrep has it: files that match, or with ! those that do not; the
    last glob that matches decides. Relative to the folder that is walked. Raises InputError for
    one that could match nothing."""

    def __init__(self, globs: Sequence[str]) -> None:
        for glob in globs:
            if not glob.strip("!/ ") or _BRACKET.search(glob[glob.rfind("]") + 1 :]):
                raise InputError(f"{glob!r} is no glob", hint="-g '*.md' or -g '!drafts' are")
        self._spec = _spec(globs) if globs else None
        self._only = any(not glob.startswith("!") for glob in globs)

    def verdict(self, name: str, is_folder: bool) -> bool | None:
        """True: wanted whatever ignore files say; False: left out; None: nothing is said."""
        if self._spec is None:
            return None
        said = self._spec.check_file(name + ("/" if is_folder else "")).include
        if is_folder:
            return False if said is False else None
        return False if said is None and self._only else said


def _read(path: str) -> GitIgnoreSpec | None:
    """An ignore file's rules, None when there are none."""
    try:
        if not os.path.isfile(path):  # noqa: PTH113  (a FIFO would wait)
            return None
        with open(path, "rb") as file:  # noqa: PTH123
            lines = file.read(MAX_IGNORE_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:  # an ignore file that can't be read ignores nothing
        return None
    return _spec([line for line in lines if line.strip() and not line.startswith("#")])


def _spec(lines: Sequence[str]) -> GitIgnoreSpec | None:
    """Rules of lines; a line that is none is passed over, as git does."""
    from pathspec import GitIgnoreSpec

    if not lines:
        return None
    try:
        spec = GitIgnoreSpec.from_lines(lines)
    except ValueError:
        spec = GitIgnoreSpec.from_lines([line for line in lines if _is_rule(line)])
    for pattern in spec.patterns:
        expression = getattr(pattern, "regex", None)
        if expression is not None:
            pattern.regex = re.compile(bounded(expression.pattern))
    return spec if len(spec) else None


def _is_rule(line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
