"""Ignore files, read as git does (its dir.c)."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from qrank.ingest.git import Repository, is_true, repository, resolve
from qrank.ingest.wildmatch import SPECIAL, MalformedError, expression
from qrank.names import folder_key, shown_path
from qrank.settings import Walking

OF_GIT = ".gitignore"
IGNORE_FILES = (OF_GIT, ".ignore", ".qrankignore")  # later ones take precedence
OF_COLLECTION = "the rules of its collection"  # in place of a file's path
MAX_BYTES = 1 << 20  # of an ignore file
MAX_PATTERN = 1 << 15  # longer than any path
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of an ignore file, without `!` and slashes that are flags here.

    literal: set for a pattern without wildcards: the name, or, with a leading slash, the path
    relative to the file's folder. end: set for `*.md` and the like: the end of the name. matches:
    for other patterns, tests the name, or (of_path) the relative path.
    """

    text: str
    line: int
    includes: bool = False  # it starts with !
    of_folders: bool = False  # it only matches folders
    of_path: bool = False
    literal: bytes = b""
    end: bytes = b""
    matches: Callable[[bytes], object] = bool


class RuleFile:
    """The rules of an ignore file, and the folder that they apply to."""

    def __init__(
        self, path: str, folder: str, rules: Sequence[Rule], *, of_git: bool, fold: bool = False
    ) -> None:
        """of_git: from .gitignore and the like, whose rules do not apply in a nested repository;
        fold: ignore case (the rules were parsed with fold, too)."""
        self.path, self.of_git, self._fold = path, of_git, fold
        self._prefix = len(encoded(folder_key(folder) + "/"))
        # In reverse order. Most rules are a literal or an end: tested for every file of a walk,
        # they are looked up in a microsecond, not matched one by one.
        self._literals: dict[bytes, list[Rule]] = {}
        self._others: list[Rule] = []
        for rule in reversed(rules):
            if rule.literal:
                self._literals.setdefault(rule.literal, []).append(rule)
            else:
                self._others.append(rule)
        self._ends = tuple({rule.end for rule in self._others if rule.end})
        self._globs = [rule for rule in self._others if not rule.end]

    def __bool__(self) -> bool:
        return bool(self._literals or self._others)

    def last_match(self, path: bytes, is_folder: bool) -> Rule | None:
        """The last rule that matches a path (see `encoded`) below the file's folder."""
        path = path[self._prefix :]
        if self._fold:
            path = path.lower()
        name = path[path.rfind(b"/") + 1 :]
        last: Rule | None = None
        for literal in (name, b"/" + path):
            for rule in self._literals.get(literal, ()):
                if is_folder or not rule.of_folders:
                    last = rule if last is None or rule.line > last.line else last
                    break
        for rule in self._others if name.endswith(self._ends) else self._globs:
            if last and rule.line < last.line:
                break
            if rule.of_folders and not is_folder:
                continue
            if rule.matches(path if rule.of_path else name):
                return rule
        return last


class Verdict(NamedTuple):
    """The rule that decides on a path, and the file it is in. str: file, line and rule."""

    file: RuleFile
    rule: Rule

    def __str__(self) -> str:
        return f"{shown_path(self.file.path)}:{self.rule.line}: {self.rule.text}"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for the content of a folder. files: later ones take precedence; repositories: the
    common folders of the repositories that the folder is in; own: the collection's rules, which
    take precedence over all files."""

    walking: Walking
    files: tuple[RuleFile, ...] = ()
    repositories: frozenset[str] = frozenset()
    fold: bool = False
    own: RuleFile | None = None

    def verdict(self, path: str, is_folder: bool) -> Verdict | None:
        """The rule that decides on a path in the folder; None when no rule matches."""
        if self.files or self.own:
            raw = encoded(path)
            for file in filter(None, (self.own, *reversed(self.files))):
                rule = file.last_match(raw, is_folder)
                if rule:
                    return Verdict(file, rule)
        return None

    def within(self, folder: str, names: Iterable[str], *, is_root: bool = False) -> Rules | None:
        """The rules for the content of a subfolder, given the names in it. None, except for the
        root of a walk, when it is another working tree of a repository that it is in: its files
        are copies."""
        names = set(names)
        repositories, fold, files = self.repositories, self.fold, self.files
        repo = repository(folder) if ".git" in names else None
        if repo:
            if repo.is_linked and repo.common in repositories and not is_root:
                return None
            repositories |= {repo.common}
        if not self.walking.ignore:
            return replace(self, repositories=repositories)
        if repo:
            if "core.ignorecase" in repo.config:
                fold = is_true(repo.config["core.ignorecase"])
            own = [_git_excludes(folder, self.walking, repo, fold)]
            own += [file for file in files if not file.of_git]
            own.append(_read(repo.exclude_file, folder, of_git=True, fold=fold))
            files = tuple(file for file in own if file)
        prefix = folder_key(folder) + "/"
        for name in IGNORE_FILES:
            if name in names and not (name == OF_GIT and os.path.islink(prefix + name)):  # noqa: PTH114
                read = _read(prefix + name, folder, of_git=name == OF_GIT, fold=fold)
                files += (read,) if read else ()
        return replace(self, files=files, repositories=repositories, fold=fold)


def rules_above(root: str, walking: Walking) -> Rules:
    """The rules that apply to root from outside: the user's global ones, and those of its parent
    folders in the same git repository."""
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
    fold = walking.ignore_case
    files = [_git_excludes(top, walking, None, fold)]
    files += [_read(str(path), top, of_git=False, fold=fold) for path in walking.global_ignores]
    own = _parsed(OF_COLLECTION, root, [os.fsencode(rule) for rule in walking.rules], fold=fold)
    outer = tuple(f for f in files if f) if walking.ignore else ()
    rules = Rules(walking, outer, fold=fold, own=own)
    for place in reversed(above):
        try:
            rules = rules.within(place, os.listdir(place), is_root=True) or rules  # noqa: PTH208
        except OSError:
            continue
    return rules


def _git_excludes(
    folder: str, walking: Walking, repo: Repository | None, fold: bool
) -> RuleFile | None:
    """The rules of git's core.excludesFile, relative to a folder; None when it has none."""
    named = repo.config.get("core.excludesfile") if repo else None
    if named is None:
        path = str(walking.git_excludes or "")
    else:
        path = resolve(f"{folder}/x", named) if named else ""
    return _read(path, folder, of_git=True, fold=fold)


def _read(path: str, folder: str, *, of_git: bool, fold: bool) -> RuleFile | None:
    """The rules of an ignore file; None when it has none, or can't be read."""
    try:
        if not os.path.isfile(path):  # noqa: PTH113  (opening a FIFO would block)
            return None
        with open(path, "rb") as file:  # noqa: PTH123
            data = file.read(MAX_BYTES)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None
    if len(data) == MAX_BYTES:  # the last line may be truncated
        data = data[: data.rfind(b"\n") + 1]
    lines = data.removeprefix(_BOM).split(b"\n")
    return _parsed(path, folder, lines, of_git=of_git, fold=fold)


def _parsed(
    path: str, folder: str, lines: Iterable[bytes], *, of_git: bool = False, fold: bool
) -> RuleFile | None:
    rules = [rule for n, line in enumerate(lines, 1) if (rule := parse(line, n, fold=fold))]
    return RuleFile(path, folder, rules, of_git=of_git, fold=fold) or None


def parse(line: bytes, number: int, *, fold: bool = False) -> Rule | None:
    """The rule in a line of an ignore file; None for a comment, and for an invalid pattern, which
    git ignores silently. number: of the line, from 1."""
    if line.startswith(b"#"):
        return None
    line = _without_blanks(line.removesuffix(b"\r").partition(b"\0")[0])
    includes = line.startswith(b"!")
    pattern = line[includes:]
    of_folders = pattern.endswith(b"/")
    pattern = pattern[: len(pattern) - of_folders]
    of_path = b"/" in pattern
    if of_path:
        pattern = pattern.removeprefix(b"/")
    if not pattern or len(pattern) > MAX_PATTERN:
        return None
    special = SPECIAL.search(pattern)
    literal = end = b""
    matches: Callable[[bytes], object] = bool
    if special is None:
        literal = b"/" * of_path + (pattern.lower() if fold else pattern)
    else:
        # As git does, compare the text before the first wildcard literally, and use wildmatch for
        # the rest only: so `a/b**/c` matches a/bx/y/c.
        at = special.start()
        head = pattern[:at].lower() if fold else pattern[:at]
        try:
            regex = re.escape(head) + expression(pattern[at:], fold=fold)
        except MalformedError:
            return None
        matches = re.compile(regex, re.DOTALL).fullmatch
        if not of_path and pattern.startswith(b"*") and not SPECIAL.search(pattern, 1):
            end = pattern[1:].lower() if fold else pattern[1:]
    text = line.decode("utf-8", "backslashreplace")
    return Rule(text, number, includes, of_folders, of_path, literal, end, matches)


def _without_blanks(line: bytes) -> bytes:
    """A line without trailing spaces; one after a backslash is kept."""
    stripped = line.rstrip(b" ")
    backslashes = len(stripped) - len(stripped.rstrip(b"\\"))
    return line[: len(stripped) + 1] if backslashes % 2 else stripped


def encoded(path: str) -> bytes:
    """A path in bytes as git sees it: composed (NFC) on macOS, which lists it decomposed."""
    if sys.platform == "darwin" and not path.isascii():
        path = unicodedata.normalize("NFC", path)
    return os.fsencode(path)
