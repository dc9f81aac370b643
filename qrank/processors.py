"""The number of processors, and the number of tokens that models have read."""

from __future__ import annotations

import os
import threading


def usable_processors() -> int:
    """How many processors this process may use; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Read(threading.local):
    tokens = 0


_read = _Read()


def count_tokens(tokens: int) -> None:
    """Add tokens that a model has read for this thread."""
    _read.tokens += tokens


def tokens_read() -> int:
    """How many tokens models have read for this thread so far."""
    return _read.tokens
