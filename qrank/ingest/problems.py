"""Translation of errors while reading a file into the kind and reason of its problem.

Used in the main process and in workers, so that a problem does not depend on where a file is read.
"""

from __future__ import annotations

import signal

from qrank import files
from qrank.errors import NoTextError, Problem, QrankError, SecretError, Terminated

MAX_REASON = 500  # characters
# Exceptions that stop the process; they are no problem of a file.
STOPS = (KeyboardInterrupt, SystemExit, GeneratorExit, Terminated)


def problem_of(error: BaseException) -> Problem:
    """The problem of a file, for an error that was raised while it was read.

    >>> problem_of(IndexError("pop from empty list"))
    Problem(kind='failed', reason='possibly damaged: IndexError: pop from empty list')
    """
    kind, reason = "failed", str(error)
    if isinstance(error, SecretError):
        kind = "secret"
    elif isinstance(error, NoTextError):
        kind = "skipped"
    elif isinstance(error, OSError):
        kind, reason = "unread", files.reason(error)
    elif isinstance(error, MemoryError):
        reason = "needs too much memory"
    elif isinstance(error, RecursionError):
        reason = "nested too deeply"
    elif not isinstance(error, QrankError):  # an error of a library, or a panic in Rust
        reason = f"possibly damaged: {type(error).__name__}: {reason}"
    return Problem(kind, " ".join(reason.split())[:MAX_REASON])


def signal_name(number: int) -> str:
    """A signal's name, or its number when it has none.

    >>> signal_name(9), signal_name(40)
    ('SIGKILL', 'signal 40')
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
