"""The parts of a git repository that matter for ignored files: its location and configuration.

It reads files and does not run git, which in an untrusted repository could run any command.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_BYTES = 1 << 20  # of a configuration file
MAX_FILES = 20  # included by a configuration file, directly or not
_SECTION = re.compile(r"\[\s*([A-Za-z0-9.-]+)\s*(\"(?:[^\"\\\n]|\\.)*\")?\s*\]")
_NAME = re.compile(r"([A-Za-z][A-Za-z0-9-]*)[ \t]*(=?)")
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b"}

Config = dict[str, str]  # "core.ignorecase" -> its last value


class Repository(NamedTuple):
    """The repository of a working tree. common: the folder shared by all its working trees
    ($GIT_COMMON_DIR); is_linked: whether this is a linked working tree (git worktree)."""

    common: str
    is_linked: bool
    config: Config

    @property
    def exclude_file(self) -> str:
        """Its local ignore file, which is not committed."""
        return f"{self.common}/info/exclude"


def repository(folder: str) -> Repository | None:
    """The repository whose working tree has folder as its top; None when there is none."""
    place = f"{folder}/.git"
    if os.path.isdir(place):  # noqa: PTH112
        common = os.path.realpath(place)
        return Repository(common, False, read_config(f"{common}/config"))
    # In a linked working tree or a submodule, .git is a file.
    named = _first_line(place).removeprefix("gitdir:").strip()
    if not named:
        return None
    own = os.path.realpath(os.path.join(folder, named))  # noqa: PTH118
    shared = _first_line(f"{own}/commondir")
    parent, kind = os.path.split(os.path.dirname(own))  # noqa: PTH120
    if not shared and not os.path.isdir(own) and kind == "worktrees":  # noqa: PTH112
        shared = parent  # it was pruned
    common = os.path.realpath(os.path.join(own, shared)) if shared else own  # noqa: PTH118
    if not os.path.isdir(common):  # noqa: PTH112
        return None
    config = read_config(f"{common}/config")
    if is_true(config.get("extensions.worktreeconfig")):
        config |= read_config(f"{own}/config.worktree")
    return Repository(common, bool(shared), config)


def is_true(value: str | None) -> bool:
    """Whether git reads a value as true."""
    plain = (value or "").lower()
    return plain in ("true", "yes", "on") or (plain.isdecimal() and plain.strip("0") != "")


def read_config(path: str, seen: set[str] | None = None) -> Config:
    """The values of a configuration file and of its includes; empty when it can't be read.
    Conditional includes are ignored. seen: files that were read already, which are skipped."""
    result: Config = {}
    seen = set() if seen is None else seen
    if path in seen or len(seen) >= MAX_FILES:
        return result
    seen.add(path)
    for key, value in _assignments(_text(path, MAX_BYTES)):
        result[key] = value
        if key == "include.path":
            result |= read_config(resolve(path, value), seen)
    return result


def resolve(path: str, value: str) -> str:
    """The path that value stands for in the configuration file at path."""
    return os.path.join(os.path.dirname(path), os.path.expanduser(value))  # noqa: PTH111, PTH118, PTH120


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    section = ""
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif header := _SECTION.match(text, at):
            section, at = (header[1] + (header[2] or "")).lower(), header.end()
        elif name := _NAME.match(text, at):
            value, at = _value(text, name.end()) if name[2] else ("true", name.end())
            yield f"{section}.{name[1].lower()}", value
        else:  # a comment, or a syntax error, at which git would exit
            at = _end_of_line(text, at)


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _value(text: str, at: int) -> tuple[str, int]:
    """(value, offset of its end): without quotes, escapes and comment."""
    value = ""
    length = 0  # of the value without trailing whitespace
    quoted = False
    while at < len(text) and text[at] != "\n":
        char = text[at]
        at += 1
        if char == "\\" and at < len(text):
            if text.startswith("\r\n", at):
                at += 1
            if text[at] != "\n":
                value += _ESCAPES.get(text[at], text[at])
                length = len(value)
            at += 1
        elif char == '"':
            quoted = not quoted
            length = len(value)
        elif char in "#;" and not quoted:
            at = _end_of_line(text, at)
        elif value or quoted or not char.isspace():
            value += char
            length = len(value) if quoted or not char.isspace() else length
    return value[:length], at


def _first_line(path: str) -> str:
    return _text(path, 1 << 16).partition("\n")[0].partition("\0")[0].strip("\r")


def _text(path: str, most: int) -> str:
    """A file's first most characters; empty when it can't be read."""
    try:
        if not os.path.isfile(path):  # noqa: PTH113  (opening a FIFO would block)
            return ""
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:  # noqa: PTH123
            return file.read(most)
    except (OSError, ValueError):  # ValueError: a NUL in its name
        return ""
