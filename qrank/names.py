"""Paths as they are stored and printed: absolute, with forward slashes on every system, and always
text that UTF-8 has: other bytes of a name are written \\xNN. Whether one lies under another."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterator, Set

WINDOWS = os.name == "nt"
# Where files are found whatever the case of the name that is asked for.
_ANY_CASE = WINDOWS or sys.platform == "darwin"
_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")


def shown_path(path: str) -> str:
    """A path as it is stored and printed.

    >>> shown_path("caf\\udce9.md")
    'caf\\\\xe9.md'
    """
    if WINDOWS:
        path = windows_slashes(path)
    if path.isascii():
        return path
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def windows_slashes(path: str) -> str:
    r"""A path of Windows with forward slashes, a large drive letter and no \\?\ before it.

    >>> windows_slashes(r"c:\notes\a.md"), windows_slashes(r"\\?\UNC\server\share\a.md")
    ('C:/notes/a.md', '//server/share/a.md')
    """
    path = path.replace("\\", "/")
    if path.startswith(("//?/", "//./")):
        rest = path[4:]
        path = f"//{rest[4:]}" if rest[:4].upper() == "UNC/" else rest
    return path[:1].upper() + path[1:] if path[1:2] == ":" else path


def absolute(path: str) -> str:
    """A path that the user named, as files below it are stored: absolute, without dots and links,
    so that a file has one path however it is named."""
    path = on_disk(path)
    # (On Windows that would make a share's address of a drive's letter.)
    return path if WINDOWS else os.path.realpath(path)


def on_disk(path: str) -> str:
    """A path that the user named: absolute, without dots, a link under its own name; spelled as on
    the disk where case does not matter, or where only the form of Unicode is another (macOS lists
    names decomposed)."""
    path = os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111
    if _ANY_CASE:
        return spelled_as_on_disk(path)
    if path.isascii() or os.path.lexists(path):
        return path
    return spelled_as_on_disk(path, any_case=False)


def named_path(path: str) -> str:
    """A path that the user named, as it is stored."""
    return shown_path(absolute(path))


def spellings(path: str) -> tuple[str, ...]:
    """What a path that the user named may be stored as: that, or (in an index of an older version)
    under the name of a link."""
    return tuple(dict.fromkeys((named_path(path), shown_path(on_disk(path)))))


def composed(path: str) -> str:
    """A path in the form of Unicode in which paths are compared: NFC."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def spelled_as_on_disk(path: str, *, any_case: bool = True) -> str:
    """An absolute path with the form of Unicode (any_case: and the case) that its folders list;
    what they do not list is left as it is."""
    folder, name = os.path.split(path)
    if not name:
        return path
    folder = spelled_as_on_disk(folder, any_case=any_case)
    try:
        listed = os.listdir(folder)  # noqa: PTH208
    except OSError:
        listed = []
    if name not in listed:
        key = _compared(name, any_case)
        name = next((other for other in listed if _compared(other, any_case) == key), name)
    return os.path.join(folder, name)  # noqa: PTH118


def _compared(name: str, any_case: bool) -> str:
    return composed(name).casefold() if any_case else composed(name)


def from_bytes(path: bytes) -> str:
    """A path that another program printed, as it is stored."""
    return shown_path(path.decode("utf-8", "replace") if WINDOWS else os.fsdecode(path))


def disk_bytes(shown: str) -> bytes:
    """The same path as the system has it: what other programs are given."""
    return os.fsencode(disk_path(shown))


def disk_path(shown: str) -> str:
    """The path to open for one that is shown. A name that really holds a backslash has it."""
    if "\\x" not in shown or os.path.lexists(shown):
        return shown
    raw = _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), os.fsencode(shown))
    try:
        return os.fsdecode(raw)
    except UnicodeDecodeError:  # Windows has no such name: the index is from another system
        return shown


def is_folder(shown: str) -> bool:
    """Whether a path that is shown, or that the user named, is one of a folder that is there."""
    return os.path.isdir(disk_path(shown))  # noqa: PTH112


def folder_key(path: str) -> str:
    """A stored path as `over` compares it: without the slash that only a root ends with."""
    return path.rstrip("/")


def path_from(path: str, folder: str | None) -> str:
    """A stored path as it is seen from a folder when it lies below it, else whole.

    >>> path_from("/a/b/c.md", "/a"), path_from("/b/c.md", "/a"), path_from("/c.md", None)
    ('b/c.md', '/b/c.md', '/c.md')
    """
    if folder is None:
        return path
    return path.removeprefix(folder_key(shown_path(folder)) + "/") or path


def over(path: str, folders: Set[str]) -> Iterator[str]:
    """Those of folders (their keys) that a stored path is, or lies under, the deepest first.

    It takes as many steps as the path has parts, however many folders there are.

    >>> list(over("/a/b/c.md", {"/a", "/a/b", "/a/b/c.md/d", "/a/bc"}))
    ['/a/b', '/a']
    >>> list(over("C:/a.md", {folder_key("C:/")})), list(over("/a.md", {folder_key("/")}))
    (['C:'], [''])
    """
    path = folder_key(path)
    while True:
        if path in folders:
            yield path
        end = path.rfind("/")
        if end < 0:
            return
        path = path[:end]


def is_under(path: str, folders: Set[str]) -> bool:
    """Whether a stored path is one of folders (their keys), or lies under one."""
    return next(over(path, folders), None) is not None


def lies_below(path: str, folder: str) -> bool:
    """Whether a stored path is below a folder, and not that itself."""
    key = folder_key(folder)
    return folder_key(path) != key and is_under(path, {key})


def path_names(path: str) -> tuple[str, ...]:
    """The stored paths of the file or folder that a user means who typed path: none for a glob that
    is no name of a file, too."""
    is_glob = any(wildcard in path for wildcard in "*?")
    try:
        return () if is_glob and not os.path.lexists(on_disk(path)) else spellings(path)
    except (OSError, ValueError):  # the working folder is gone; a NUL in it
        return ()


def path_globs(path: str) -> tuple[str, ...]:
    """SQLite GLOBs of stored paths from what a user typed: a relative glob matches at any depth,
    one that begins with ./ or ../ in this folder; a name without wildcards is a file or a whole
    folder.

    >>> path_globs("*.md"), path_globs("/a/*"), path_globs("notes/")
    (('*.md',), ('/a/*',), ('*/notes', '*/notes/*'))
    """
    path = windows_slashes(path) if WINDOWS else path
    if path.startswith("~"):
        path = shown_path(os.path.expanduser(path))  # noqa: PTH111
    if path.startswith(("./", "../")):
        path = shown_path(os.path.abspath(path))  # noqa: PTH100  (a glob, not a file)
    elif not (path.startswith(("/", "*")) or (WINDOWS and path[1:3] == ":/")):
        path = "*/" + path
    if any(wildcard in path.removeprefix("*/") for wildcard in "*?["):
        return (path,)
    name = path.rstrip("/")
    return (name, f"{name}/*")
