"""Paths as they are stored and printed: absolute, with forward slashes on every system, and valid
UTF-8; other bytes of a name are written \\xNN."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Set

WINDOWS = os.name == "nt"
# Whether file names are usually case-insensitive.
_ANY_CASE = WINDOWS or sys.platform == "darwin"
_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")


def shown_path(path: str) -> str:
    """Convert a path of the system to the form in which it is stored and printed.

    >>> shown_path("caf\\udce9.md")
    'caf\\\\xe9.md'
    """
    if WINDOWS:
        path = windows_slashes(path)
    if path.isascii():
        return path
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def windows_slashes(path: str) -> str:
    r"""A Windows path with forward slashes, an uppercase drive letter, and without \\?\.

    >>> windows_slashes(r"c:\notes\a.md"), windows_slashes(r"\\?\UNC\server\share\a.md")
    ('C:/notes/a.md', '//server/share/a.md')
    """
    path = path.replace("\\", "/")
    if path.startswith(("//?/", "//./")):
        rest = path[4:]
        path = f"//{rest[4:]}" if rest[:4].upper() == "UNC/" else rest
    return path[:1].upper() + path[1:] if path[1:2] == ":" else path


def absolute(path: str) -> str:
    """Resolve a path that the user gave: absolute, without . and .. and symlinks, so that a file
    always has the same path."""
    path = on_disk(path)
    # (On Windows realpath would replace a mapped drive letter by the address of the share.)
    return path if WINDOWS else os.path.realpath(path)


def on_disk(path: str) -> str:
    """A path that the user gave, made absolute, with symlinks unresolved. It is spelled as on disk
    if names are case-insensitive, or if only the Unicode normal form differs (macOS lists names
    decomposed)."""
    path = os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111
    if _ANY_CASE:
        return spelled_as_on_disk(path)
    if path.isascii() or os.path.lexists(path):
        return path
    return spelled_as_on_disk(path, any_case=False)


def named_path(path: str) -> str:
    """A path that the user gave, in the form in which it is stored."""
    return shown_path(absolute(path))


def spellings(path: str) -> tuple[str, ...]:
    """The forms in which a path that the user gave may be stored: named_path, and (in an index of
    an older version) with symlinks unresolved."""
    return tuple(dict.fromkeys((named_path(path), shown_path(on_disk(path)))))


def composed(path: str) -> str:
    """A path in NFC, to compare it."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def spelled_as_on_disk(path: str, *, any_case: bool = True) -> str:
    """An absolute path spelled as its folders list the names: with their Unicode normal form and,
    if any_case, their case. Names that do not exist are left as they are."""
    folder, name = os.path.split(path)
    if not name:
        return path
    folder = spelled_as_on_disk(folder, any_case=any_case)
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        names = []
    if name not in names:
        key = _name_key(name, any_case)
        name = next((other for other in names if _name_key(other, any_case) == key), name)
    return os.path.join(folder, name)  # noqa: PTH118


def _name_key(name: str, any_case: bool) -> str:
    return composed(name).casefold() if any_case else composed(name)


def from_bytes(path: bytes) -> str:
    """A path that another program printed, in the form in which it is stored."""
    return shown_path(path.decode("utf-8", "replace") if WINDOWS else os.fsdecode(path))


def disk_bytes(shown: str) -> bytes:
    """The bytes of a stored path on disk, to pass it to other programs."""
    return os.fsencode(disk_path(shown))


def disk_path(shown: str) -> str:
    """The path to open for a stored one: \\xNN is replaced by its byte, unless a file really has
    the backslash in its name."""
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
    """The key of a folder for `over` and `is_under`: its stored path without a final slash, which
    only the root has."""
    return path.rstrip("/")


def path_from(path: str, folder: str | None) -> str:
    """A stored path relative to a folder if it is below it, else unchanged.

    >>> path_from("/a/b/c.md", "/a"), path_from("/b/c.md", "/a"), path_from("/c.md", None)
    ('b/c.md', '/b/c.md', '/c.md')
    """
    if folder is None:
        return path
    return path.removeprefix(folder_key(shown_path(folder)) + "/") or path


def over(path: str, folders: Set[str]) -> Iterator[str]:
    """The folders (given as keys) that a stored path is or is below, deepest first.

    The time depends on the depth of the path, not on the number of folders.

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
    """Whether a stored path is one of folders (given as keys), or is below one."""
    return next(over(path, folders), None) is not None


def moved(path: str, folders: Mapping[str, str]) -> str:
    """Where a stored path is now; folders: by the keys of those that were moved, those they are
    now.

    >>> moved("/a/b/c.md", {"/a": "/z", "/a/b": "/y"}), moved("/ab.md", {"/a": "/z"})
    ('/y/c.md', '/ab.md')
    """
    old = next(over(path, folders.keys()), None)
    return path if old is None else folders[old] + folder_key(path)[len(old) :]


def move_of(text: str) -> tuple[str, str]:
    """(the key of where files lay, that of where they are here), as OLD=NEW says. OLD need not be
    there. Raises ValueError for another text."""
    old, between, new = text.partition("=")
    if not (old and between and new):
        raise ValueError(f"takes OLD=NEW, not {text!r}")
    elsewhere = old.startswith("/") or old[1:2] == ":"
    return folder_key(shown_path(old) if elsewhere else named_path(old)), folder_key(
        named_path(new)
    )


def lies_below(path: str, folder: str) -> bool:
    """Whether a stored path is below a folder, and not the folder itself."""
    key = folder_key(folder)
    return folder_key(path) != key and is_under(path, {key})


def path_names(path: str) -> tuple[str, ...]:
    """The stored forms of a path that the user typed; () for a glob, unless a file has that
    name."""
    is_glob = any(wildcard in path for wildcard in "*?")
    try:
        return () if is_glob and not os.path.lexists(on_disk(path)) else spellings(path)
    except (OSError, ValueError):  # the working folder is gone; a NUL in it
        return ()


def path_globs(path: str) -> tuple[str, ...]:
    """Convert what the user typed to SQLite GLOBs for stored paths. A relative glob matches at any
    depth, one that begins with ./ or ../ below this folder; a name without wildcards matches a file
    or all of a folder.

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
