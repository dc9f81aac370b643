"""Splitting a command line in an option or environment variable into words."""

from __future__ import annotations

import shlex

from qrank.names import WINDOWS


def split(line: str, *, windows: bool = WINDOWS) -> list[str]:
    r"""Split a command line as a POSIX shell does, except that on Windows a backslash is not
    special. Raises ValueError for an unclosed quote.

    >>> split('"/opt/my editor" -w a\\ b', windows=False)
    ['/opt/my editor', '-w', 'a b']
    >>> split(r'"C:\Program Files\Notepad++\notepad++.exe" -n', windows=True)
    ['C:\\Program Files\\Notepad++\\notepad++.exe', '-n']
    """
    words = shlex.shlex(line, posix=True, punctuation_chars=False)
    words.whitespace_split, words.commenters = True, ""
    if windows:
        words.escape = ""
    return list(words)
