"""Reserving stdout for MCP messages."""

from __future__ import annotations

import os
import sys


class Stdout:
    """Redirects file descriptor 1 to stderr, for anything that writes to stdout besides messages:
    llama.cpp, libraries at import, child processes."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._descriptor = os.dup(1)
        os.dup2(2, 1)

    def divert(self) -> None:
        """Redirect fd 1 to stderr."""
        os.dup2(2, 1)

    def restore(self) -> None:
        """Let fd 1 be stdout again."""
        sys.stdout.flush()  # to stderr, while it is redirected
        os.dup2(self._descriptor, 1)
