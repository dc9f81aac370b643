"""File names that are not UTF-8: shown, stored and printed with their odd bytes as \\xNN."""

from __future__ import annotations

import os
import re

_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")


def shown_path(path: str) -> str:
    """A path as it is stored and printed: always text that UTF-8 has.

    >>> shown_path("caf\\udce9.md")
    'caf\\\\xe9.md'
    """
    if path.isascii():
        return path
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def disk_bytes(shown: str) -> bytes:
    """The same path as the system has it: what other programs are given."""
    return os.fsencode(disk_path(shown))


def disk_path(shown: str) -> str:
    """The path to open for one that is shown. A name that really holds a backslash has it."""
    if "\\x" not in shown or os.path.lexists(shown):
        return shown
    raw = _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), os.fsencode(shown))
    return os.fsdecode(raw)
