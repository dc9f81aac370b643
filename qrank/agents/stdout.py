"""Keeping stdout for messages alone."""

from __future__ import annotations

import os
import sys


class Stdout:
    """What else than messages writes to file descriptor 1 (llama.cpp, a library while it is
    imported, a child process) writes to stderr."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._descriptor = os.dup(1)
        os.dup2(2, 1)

    def divert(self) -> None:
        """Let fd 1 be stderr."""
        os.dup2(2, 1)

    def give_back(self) -> None:
        """Let fd 1 be what it was."""
        sys.stdout.flush()  # what was printed in the meantime
        os.dup2(self._descriptor, 1)
