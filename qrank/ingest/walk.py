"""Walking folders: yields files in order, obeys ignore rules, never follows links."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from qrank import files
from qrank.analysis.formats import BY_SUFFIX, FORMATS, suffix_of
from qrank.errors import InputError
from qrank.ingest.extract import compressed
from qrank.ingest.globs import Globs
from qrank.ingest.ignore import Rules, rules_above
from qrank.ingest.secrets import kind_by_name
from qrank.names import WINDOWS, folder_key, over, shown_path, windows_slashes
from qrank.results import Signature, Task
from qrank.settings import Walking

_OF_VERSION_CONTROL = frozenset((".git", ".hg", ".svn", ".jj"))
HIDDEN = "hidden (--hidden reads it)"
LINK = "a link: name what it leads to"
SPECIAL = "not a regular file"
VERSION_CONTROL = "the store of a version control system"
UNREAD = "unread"  # the kind of what should be indexed, but can't be read
WORKTREE = "another working tree of the repository around it (name it to read it)"


class Skipped(NamedTuple):
    """A file or folder that a walk skips, and why. kind: hidden, ignored, glob, type, link,
    special, worktree, or UNREAD."""

    path: str
    is_folder: bool
    kind: str
    reason: str


OnSkipped = Callable[[Skipped], None]


def walk(
    roots: Sequence[Path],
    walking: Walking,
    on_skipped: OnSkipped,
) -> Iterator[Task]:
    """Yield the regular files under each root, without duplicates, sorted by path; a root that is
    a file itself.

    Skips hidden, ignored and unreadable files and folders, and calls on_skipped for each; roots
    are never ignored.
    """
    seen: set[str] = set()  # one root may be below another
    for file in _each(roots, _Selection(walking), on_skipped):
        if len(roots) > 1:
            if file.path in seen:
                continue
            seen.add(file.path)
        yield file


def _each(roots: Sequence[Path], selection: _Selection, on_skipped: OnSkipped) -> Iterator[Task]:
    for root in roots:
        path = windows_slashes(str(root)) if WINDOWS else str(root)
        if root.is_dir():
            yield from _folder(path, selection, on_skipped)
            continue
        file = _regular_file(path, on_skipped)
        if file:
            yield file
        elif root.exists():
            on_skipped(Skipped(shown_path(path), False, UNREAD, SPECIAL))


def _folder(
    top: str,
    selection: _Selection,
    on_skipped: OnSkipped,
    above: Rules | None = None,
) -> Iterator[Task]:
    """Walk depth first, with an explicit stack, as a tree may be deeper than Python's recursion
    limit. above: the rules for top, if known."""
    pending = [(top, above or rules_above(top, selection.walking), True)]
    cut = len(folder_key(top)) + 1
    while pending:
        path, rules, is_folder = pending.pop()
        if not is_folder:
            file = _regular_file(path, on_skipped)
            if file:
                yield file
            continue
        try:
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            on_skipped(Skipped(shown_path(path), True, UNREAD, files.reason(error)))
            continue
        inner = rules.within(path, [entry.name for entry in entries], is_root=path == top)
        if inner is None:
            on_skipped(Skipped(shown_path(path), True, "worktree", WORKTREE))
            continue
        prefix = folder_key(path) + "/"
        for entry in entries:
            below = entry.is_dir(follow_symlinks=False)
            place = prefix + entry.name  # not entry.path: on Windows that has a backslash
            why = selection.why_not(entry, place, place[cut:], inner)
            if why:
                on_skipped(Skipped(shown_path(place), below, why[0], str(why[1])))
            else:
                pending.append((place, inner, below))


def first_skipped(
    path: str, top: str, start: str, walking: Walking
) -> tuple[Skipped | None, Rules]:
    """(the first of the folders from top to path, or path itself, that a walk of top would skip,
    None when it would reach path; the rules there). Folders down to start are assumed not to be
    skipped."""
    selection = _Selection(walking)
    rules = rules_above(top, walking)
    folder, first = folder_key(top), len(folder_key(start))
    cut = len(folder) + 1
    for base in filter(None, path[cut:].split("/")):
        try:
            with os.scandir(folder or "/") as listing:
                entries = {entry.name: entry for entry in listing}
        except OSError as error:
            return Skipped(shown_path(folder), True, UNREAD, files.reason(error)), rules
        inner = rules.within(folder, entries, is_root=len(folder) <= first)
        if inner is None:
            return Skipped(shown_path(folder), True, "worktree", WORKTREE), rules
        rules = inner
        place = f"{folder}/{base}"
        if len(place) > first and base in entries:
            why = selection.why_not(entries[base], place, place[cut:], rules)
            if why:
                is_folder = entries[base].is_dir(follow_symlinks=False)
                return Skipped(shown_path(place), is_folder, why[0], str(why[1])), rules
        folder = place
    return None, rules


def walk_below(folder: str, rules: Rules, on_skipped: OnSkipped) -> Iterator[Task]:
    """As walk, for a folder whose rules are known."""
    yield from _folder(folder, _Selection(rules.walking), on_skipped, rules)


class _Selection:
    """Decides which files and folders a walk skips."""

    def __init__(self, walking: Walking) -> None:
        self.walking = walking
        self._globs = Globs(walking.globs)
        self._suffixes = _suffixes(walking.types)

    def why_not(
        self, entry: os.DirEntry[str], path: str, name: str, rules: Rules
    ) -> tuple[str, object] | None:
        """(kind, reason) for skipping an entry; None when it is not skipped. name: its path
        relative to the root."""
        is_folder = entry.is_dir(follow_symlinks=False)
        base = entry.name
        if base in _OF_VERSION_CONTROL:
            return "hidden", VERSION_CONTROL
        if base.startswith(".") and not self.walking.hidden:
            return "hidden", HIDDEN
        if not is_folder and not entry.is_file(follow_symlinks=False):
            return ("link", LINK) if entry.is_symlink() else ("special", SPECIAL)
        if not is_folder and not self.of_type(base):
            return "type", "not of a type that --type asks for"
        by_globs = self._globs.verdict(name, is_folder)
        if by_globs is not None:
            return None if by_globs else ("glob", "-g leaves it out")
        verdict = rules.verdict(path, is_folder)
        return ("ignored", verdict) if verdict and not verdict.rule.includes else None

    def of_type(self, base: str) -> bool:
        """Whether a file name has a selected suffix (--type)."""
        if self._suffixes is None:
            return True
        suffix = suffix_of(base)
        if suffix in compressed.SUFFIXES:
            suffix = suffix_of(PurePath(base).stem)
        return suffix in self._suffixes

    def selects(self, name: str) -> bool:
        """Whether globs and types include a file; name: its path relative to the root."""
        return self.of_type(name.rpartition("/")[2]) and self._globs.include(name)


class Within:
    """Whether a path is below the roots of a walk, and included by its globs and types."""

    def __init__(self, roots: Sequence[Path], walking: Walking) -> None:
        self._roots = {folder_key(shown_path(str(root))) for root in roots}
        self._selection = _Selection(walking)

    def __call__(self, path: str) -> bool:
        return any(
            path == root or self._selection.selects(path[len(root) + 1 :])
            for root in over(path, self._roots)
        )


def _suffixes(types: Sequence[str]) -> frozenset[str] | None:
    """The suffixes of types, which are names of formats, or suffixes; None for no types. Raises
    InputError for unknown ones."""
    if not types:
        return None
    names = {format.name: format.suffixes.split() for format in FORMATS}
    result: set[str] = set()
    for name in types:
        plain = name.removeprefix(".").lower()
        if plain in names:
            result.update(names[plain])
        elif plain in BY_SUFFIX:
            result.add(plain)
        else:
            raise InputError(
                f"unknown type {name!r}",
                hint=f"use a file extension, or {', '.join(sorted(names))}",
            )
    return frozenset(result)


def _regular_file(path: str, on_skipped: OnSkipped) -> Task | None:
    try:
        info = os.stat(path)  # noqa: PTH116
    except OSError as error:
        on_skipped(Skipped(shown_path(path), False, UNREAD, files.reason(error)))
        return None
    if not stat.S_ISREG(info.st_mode):
        return None
    return Task(shown_path(path), Signature.of(info))


def secret(file: Task, walking: Walking) -> str:
    """What a file to be skipped contains, if its name is that of a secret file, else ""."""
    return "" if walking.include_secrets else kind_by_name(file.path)


def too_large(file: Task, walking: Walking) -> str:
    """The reason for skipping a file for its size; "" when it is not too large."""
    if file.signature.size <= walking.max_filesize:
        return ""
    return f"larger than {shown_size(walking.max_filesize)} (--max-filesize)"


def shown_size(size: int) -> str:
    """A number of bytes with the largest unit that divides it.

    >>> shown_size(32 << 20), shown_size(1500)
    ('32 MiB', '1500 bytes')
    """
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << power and size % (1 << power) == 0:
            return f"{size >> power} {unit}"
    return f"{size} bytes"
