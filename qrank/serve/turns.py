"""A model that several clients want at once: each has it for a batch, then the next in line."""

from __future__ import annotations

import threading
from collections import deque
from typing import Self


class Turns:
    """A lock that goes to whoever has waited for it longest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> Self:
        with self._lock:
            if not self._held:
                self._held = True
                return self
            mine = threading.Event()
            self._waiting.append(mine)
        mine.wait()
        return self

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()  # it is theirs now
            else:
                self._held = False

    @property
    def wanted(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)
