"""PDF: the text of each page (pypdfium2), under the bookmarks of the outline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from qrank.errors import ExtractError, NoTextError
from qrank.ingest.extract.building import Builder
from qrank.ingest.extract.pdf import properties
from qrank.ingest.extract.pdf.page import page_text
from qrank.results import Document

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

MAX_BOOKMARKS = 10_000
PAGES_A_PART = 200  # what is handed on at once


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the document, a long one in stretches. Raises ExtractError for what is no PDF, is
    encrypted, or has pages but no text (scans)."""
    import pypdfium2

    try:
        pdf = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError as error:
        encrypted = "password" in str(error).lower()
        raise ExtractError("encrypted" if encrypted else "damaged, or no PDF") from error
    try:
        title, fields = properties.read(pdf, file)
        trails = _outline(pdf)
        builder = Builder()
        found = False
        for number in range(len(pdf)):
            text = _page(pdf, number)
            if text.strip():
                found = True
                builder.page(number + 1)
                builder.headings(*trails.get(number, ()))
                builder.paragraph(text)
            if number % PAGES_A_PART == PAGES_A_PART - 1:
                yield builder.document(title, fields)
                builder = Builder()
        if not found:
            raise NoTextError("its pages hold no text (scans need OCR: see --pre)")
        yield builder.document(title, fields)
    finally:
        pdf.close()


def _page(pdf: PdfDocument, number: int) -> str:
    import pypdfium2

    try:
        page = pdf[number]
        text = page_text(page.get_textpage())
        page.close()
    except pypdfium2.PdfiumError:  # one broken page must not cost the others
        return ""
    return text


def _outline(pdf: PdfDocument) -> dict[int, tuple[str, ...]]:
    """For each page (from 0) the bookmarks that are open at its top, or begin on it."""
    import pypdfium2

    starts: list[tuple[int, tuple[str, ...]]] = []
    trail: list[str] = []
    try:
        for count, mark in enumerate(pdf.get_toc(max_depth=6)):
            target = mark.get_dest()
            index = target.get_index() if target else None
            trail = [*trail[: mark.level], mark.get_title()]
            if index is not None:
                starts.append((index, tuple(trail)))
            if count > MAX_BOOKMARKS:
                break
    except (pypdfium2.PdfiumError, ValueError, RecursionError):
        pass  # a broken outline: what was read of it is enough
    starts.sort(key=lambda start: start[0])
    trails: dict[int, tuple[str, ...]] = {}
    at = 0
    now: tuple[str, ...] = ()
    for number in range(len(pdf)):
        on_page: list[tuple[str, ...]] = []
        while at < len(starts) and starts[at][0] <= number:
            on_page.append(starts[at][1])
            at += 1
        if on_page:
            now = on_page[-1]
        trails[number] = on_page[0] if on_page else now
    return trails
