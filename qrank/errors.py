"""The errors a user can act on.

QrankError            anything below; exit status 2
├── InputError        a path, a query, an option or a line of input
│   └── QueryError    a query that asks for nothing
├── ExtractError      a file's content; the run goes on without that file
│   └── NoTextError   it holds no text: nothing went wrong
│       └── SecretError   it holds a key
├── ModelError        a model file, its kind, or llama.cpp refusing it
├── IndexFileError    the index file: damaged, newer, or made with another model
│   └── NoIndexError  there is none
└── OutputError       stdout: full, or closed
"""

from __future__ import annotations

from dataclasses import dataclass


class QrankError(Exception):
    """A failure a user can act on: what is wrong, with which input, and what to do."""

    status = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.what = message
        super().__init__(f"{message}; {hint}" if hint else message)


class InputError(QrankError):
    """The user's input can't be used: a path, a query, an option, a line on stdin."""


class QueryError(InputError):
    """A query has nothing in it to search for."""


class ExtractError(QrankError):
    """A file's content can't be read as a document."""


class NoTextError(ExtractError):
    """A file holds no text that could be indexed: an image, a scan, a device."""


class SecretError(NoTextError):
    """A file holds a key, and nobody asked for such."""


class ModelError(QrankError):
    """A model can't be found, read or used for what it was asked for."""


class IndexFileError(QrankError):
    """The index file can't be used as it is."""


class NoIndexError(IndexFileError):
    """There is no index file at that path."""


class OutputError(QrankError):
    """What was asked for can't be written to stdout."""


class Terminated(BaseException):
    """SIGTERM came: as after Ctrl-C, what was computed is kept."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file was skipped. kind: skipped (nothing to index in it), secret (it holds keys or
    passwords), failed (damaged, crashed; the same would happen again), unread (can't be opened
    now)."""

    kind: str
    reason: str

    def error(self) -> ExtractError | OSError:
        """The error that stands for it where a file turns out to be unreadable half way."""
        if self.kind == "unread":
            return OSError(self.reason)
        kinds = {"skipped": NoTextError, "secret": SecretError}
        return kinds.get(self.kind, ExtractError)(self.reason)
