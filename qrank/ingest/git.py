"""The parts of a git repository that decide on ignored files: its place and its configuration.

Only files are read; git itself is not run, which in a repository from elsewhere could run anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_BYTES = 1 << 20  # of a configuration file
MAX_FILES = 20  # that include one another
_SECTION = re.compile(r"\[\s*([A-Za-z0-9.-]+)\s*(\"(?:[^\"\\\n]|\\.)*\")?\s*\]")
_NAME = re.compile(r"([A-Za-z][A-Za-z0-9-]*)[ \t]*(=?)")
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b"}

Config = dict[str, str]  # "core.ignorecase" -> its last value


class Repository(NamedTuple):
    """A repository as its working tree sees it. common: the folder that all its working trees
    share; is_linked: this is not the main one."""

    common: str
    is_linked: bool
    config: Config

    @property
    def exclude_file(self) -> str:
        """Its own ignore file, which is not committed."""
        return f"{self.common}/info/exclude"


def repository(folder: str) -> Repository | None:
    """The repository whose working tree begins in folder; None when none does."""
    place = f"{folder}/.git"
    if os.path.isdir(place):  # noqa: PTH112
        common = os.path.realpath(place)
        return Repository(common, False, read_config(f"{common}/config"))
    # Of a linked working tree or a submodule it is a file.
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
    """Whether a value is one that git takes for true."""
    plain = (value or "").lower()
    return plain in ("true", "yes", "on") or (plain.isdecimal() and plain.strip("0") != "")


def read_config(path: str, seen: set[str] | None = None) -> Config:
    """The values of a configuration file and of those that it includes, each read once; none of one
    that can't be read. Conditional includes are passed over. seen: files that were read before."""
    result: Config = {}
    seen = set() if seen is None else seen
    if path in seen or len(seen) >= MAX_FILES:
        return result
    seen.add(path)
    for key, value in _assignments(_text(path, MAX_BYTES)):
        result[key] = value
        if key == "include.path":
            result |= read_config(beside(path, value), seen)
    return result


def beside(path: str, value: str) -> str:
    """A path that a configuration file names, as git takes it."""
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
        else:  # a comment; anything else git refuses
            at = _end_of_line(text, at)


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _value(text: str, at: int) -> tuple[str, int]:
    """(a value, the place of its end): quotes and backslashes taken away, without a comment."""
    value = ""
    length = 0  # characters that are not blanks at the end
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
    """A file's text; empty when there is none to be read."""
    try:
        if not os.path.isfile(path):  # noqa: PTH113  (a FIFO would wait)
            return ""
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:  # noqa: PTH123
            return file.read(most)
    except (OSError, ValueError):  # ValueError: a NUL in its name
        return ""
