"""A base class for what `with` closes."""

from __future__ import annotations

from typing import Self


class Closing:
    """Used in `with`, it is closed at the end, also after an error."""

    def close(self) -> None:
        """Let go of what it holds."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
