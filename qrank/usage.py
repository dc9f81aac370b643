"""How many tokens models have read for the thread that asked them."""

from __future__ import annotations

import threading


class _Read(threading.local):
    tokens = 0


_read = _Read()


def add(tokens: int) -> None:
    """Count tokens that a model has just read for this thread."""
    _read.tokens += tokens


def so_far() -> int:
    """How many tokens were read for this thread since it began."""
    return _read.tokens
