"""Progress by pages, for files whose pages are slow to read (OCR)."""

from __future__ import annotations

from collections.abc import Callable


def _ignore(page: int, count: int) -> None:
    pass


on_page: Callable[[int, int], None] = _ignore  # (page from 1, number of pages); set by a worker
