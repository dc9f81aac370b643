"""Command lines that the user wrote into an option or a variable, as words."""

from __future__ import annotations

import shlex

from qrank.names import WINDOWS


def split(line: str, *, windows: bool = WINDOWS) -> list[str]:
    r"""The words of a command line: as a POSIX shell takes them, but that on Windows a backslash
    is a letter. Raises ValueError for a quote without its end.

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
