"""The errors that are reported to users.

QrankError            base class; exit status 2
├── InputError        an invalid path, query, option or line of input
│   └── QueryError    a query without words
├── ExtractError      a file that can't be read as a document; it is skipped
│   └── NoTextError   a file without text, which is no error
│       └── SecretError   a file with a key or password
├── ModelError        a model that is missing, damaged, or of the wrong kind
├── IndexFileError    an index that is damaged, newer, or made with another model
│   └── NoIndexError  an index that does not exist
└── OutputError       stdout can't be written: disk full, or closed
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class QrankError(Exception):
    """An error for users: message says what is wrong with which input, hint what to do."""

    status = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.what = message
        super().__init__(f"{message}; {hint}" if hint else message)


class InputError(QrankError):
    """Invalid input of the user: a path, a query, an option, a line on stdin."""


class QueryError(InputError):
    """A query without words to search for."""


class ExtractError(QrankError):
    """A file's content can't be read as a document."""


class NoTextError(ExtractError):
    """A file has no text to index: an image, a scan, a device."""


class SecretError(NoTextError):
    """A file contains a key or password, and --include-secrets was not given."""


class ModelError(QrankError):
    """A model can't be found, loaded, or used for this purpose."""


class IndexFileError(QrankError):
    """The index can't be used."""


class NoIndexError(IndexFileError):
    """There is no index at that path."""


class OutputError(QrankError):
    """stdout can't be written."""


class Terminated(BaseException):
    """SIGTERM was received. As with KeyboardInterrupt, results so far are saved."""


def suggestion(name: str, choices: Iterable[str], otherwise: str = "") -> str:
    """The hint for an unknown name: the most similar choices, or else otherwise, or all choices."""
    from difflib import get_close_matches

    choices = list(dict.fromkeys(choices))
    close = get_close_matches(name, choices, n=3, cutoff=0.75)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return otherwise or f"use one of: {', '.join(choices)}"


class Problem(NamedTuple):
    """Why a file was skipped. kind: skipped (it has nothing to index), secret (it contains keys or
    passwords), failed (damaged, or its reader crashed; it would fail again), unread (it can't be
    opened now)."""

    kind: str
    reason: str

    def error(self) -> ExtractError | OSError:
        """The problem as an exception, for a file of which some was already read."""
        if self.kind == "unread":
            return OSError(self.reason)
        kinds = {"skipped": NoTextError, "secret": SecretError}
        return kinds.get(self.kind, ExtractError)(self.reason)
