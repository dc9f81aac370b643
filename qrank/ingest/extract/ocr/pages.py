"""Who is told which page of a file is being read, where each takes long (OCR)."""

from __future__ import annotations

from collections.abc import Callable


def _nobody(page: int, count: int) -> None:
    pass


on_page: Callable[[int, int], None] = _nobody  # page, counted from 1, of how many
