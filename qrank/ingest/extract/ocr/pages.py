"""The progress by pages of a file whose pages take long (OCR)."""

from __future__ import annotations

from collections.abc import Callable


def _nobody(page: int, count: int) -> None:
    pass


on_page: Callable[[int, int], None] = _nobody  # page, counted from 1, of how many
