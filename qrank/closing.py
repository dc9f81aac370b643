"""A base class for context managers that close themselves."""

from __future__ import annotations

from typing import Self


class Closing:
    """Is closed at the end of its `with` block."""

    def close(self) -> None:
        """Release all resources."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
