"""PDF: the text of each page (pypdfium2) under the bookmarks of the outline, what lies over it, and
the files embedded in it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import suppress
from ctypes import byref, c_float
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from qrank.errors import ExtractError, NoTextError
from qrank.ingest.extract import ocr
from qrank.ingest.extract.building import Builder, truncated
from qrank.ingest.extract.members import Members
from qrank.ingest.extract.ocr import pages
from qrank.ingest.extract.pdf import attachments, cut, properties, protected, xfa
from qrank.ingest.extract.pdf.annotations import overlay
from qrank.ingest.extract.pdf.page import page_text
from qrank.results import Document
from qrank.settings import Reading

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

MAX_BOOKMARKS = 10_000
MAX_OBJECTS = 1000  # of a page without text, that are examined
OF_A_STAMP = 60  # letters and digits, at most: a page number, a date, who scanned it
FILLED = 0.5  # of a page by its pictures
PAGES_A_PART = 200  # what is handed on at once
PAGES_NAMED = 10  # that a note lists


def extract(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the document, a long one in stretches, then what is attached to it. Raises ExtractError
    for what is no PDF or is encrypted, NoTextError where there is no text (scans)."""
    pdf, file, cut_off = _opened(file)
    try:
        yield from _Reader(pdf, file, reading, cut_off).documents()
    finally:
        pdf.close()


def _opened(file: BinaryIO) -> tuple[PdfDocument, BinaryIO, str]:
    """The PDF, its bytes, and what is said of an end that is missing. Raises ExtractError."""
    import pypdfium2

    try:
        return pypdfium2.PdfDocument(file), file, ""
    except pypdfium2.PdfiumError as error:
        is_locked = re.search("password|security", str(error), re.IGNORECASE)
        file.seek(0)
        data = file.read()
        said = truncated(len(data)) if cut.is_cut(data) else "damaged, or not a PDF"
        if is_locked:
            copy, said = protected.with_empty_password(data), "encrypted"
        else:
            copy = cut.with_trailer(data)
        if copy is None:
            raise ExtractError(said) from error
        file = io.BytesIO(copy)
        try:
            return pypdfium2.PdfDocument(file), file, "" if is_locked else said
        except pypdfium2.PdfiumError:
            raise ExtractError(said) from error


@dataclass(slots=True)
class _Unread:
    """The pages that gave no text, from 1."""

    broken: list[int] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)
    others: list[int] = field(default_factory=list)
    hint: str = ""  # how pictures are read

    def reason(self) -> str:
        """Why there is no text at all."""
        return self.note() if self.pictures or self.broken else "its pages hold no text"

    def note(self) -> str:
        """What was not read beside the text that was."""
        notes = []
        if self.pictures:
            notes.append(f"no text layer: {_pages(self.pictures)} of pictures{self.hint}")
        if self.others:
            notes.append(f"{_pages(self.others)} without text")
        if self.broken:
            notes.append(f"{_pages(self.broken)} damaged")
        return "; ".join(notes)


class _Reader:
    def __init__(self, pdf: PdfDocument, file: BinaryIO, reading: Reading, cut_off: str) -> None:
        import pypdfium2

        self._pdf = pdf
        self._title, self._fields = properties.read(pdf, file)
        self._reading = reading
        self._by_ocr: list[int] = []  # the pages, from 1
        self._members = Members(reading)
        self._unread = _Unread(hint="" if reading.ocr else " (--ocr reads them)")
        self._files: list[tuple[str, bytes]] = []  # of annotations
        self._has_text = False
        self._cut_off = cut_off  # what is missing of the file
        self._failed: list[tuple[int, str]] = []  # pages with what went wrong with OCR
        with suppress(pypdfium2.PdfiumError):  # else what the fields say by themselves is read
            pdf.init_forms()

    def documents(self) -> Iterator[Document]:
        trails = _outline(self._pdf)
        builder = Builder()
        for number in range(len(self._pdf)):
            self._read(number, trails.get(number, ()), builder)
            if number % PAGES_A_PART == PAGES_A_PART - 1 and not self._reading.ocr:
                yield builder.document(self._title, self._fields)
                builder = Builder()
        if xfa.is_dynamic(self._pdf):
            builder.part()
            builder.headings("Form")
            for text in xfa.texts(self._pdf):
                builder.paragraph(text)
                self._has_text = True
        if self._by_ocr:
            self._fields[ocr.PAGES] = self._by_ocr
        builder.note = self._note()
        yield builder.document(self._title, self._fields)
        attached = [*attachments.of_document(self._pdf, self._members), *self._files]
        for name, data in dict.fromkeys(attached):
            yield from self._members.read(name, io.BytesIO(data))
        yield from self._members.closing(self._note())
        if not self._has_text and not self._members.read_any:
            raise NoTextError(self._cut_off or self._unread.reason())

    def _note(self) -> str:
        notes = [self._cut_off, self._unread.note()]
        notes += [f"page {page}: {reason}" for page, reason in self._failed[:PAGES_NAMED]]
        return "; ".join(filter(None, notes))

    def _read_picture(self, page: PdfPage, number: int) -> str:
        """The text of a page that is a picture; it is drawn as people see it."""
        width, height = page.get_size()
        scale = min(ocr.DPI / 72, (ocr.MAX_PIXELS / max(1.0, width * height)) ** 0.5)
        bitmap = page.render(scale=scale, grayscale=True, draw_annots=False)
        rows = bytes(bitmap.buffer)
        lines = (
            rows[at : at + bitmap.width]
            for at in range(0, bitmap.height * bitmap.stride, bitmap.stride)
        )
        picture = b"P5 %d %d 255\n" % (bitmap.width, bitmap.height) + b"".join(lines)
        bitmap.close()
        pages.on_page(number, len(self._pdf))
        try:
            text = ocr.read(picture, self._reading, dpi=round(scale * 72))
        except ExtractError as error:
            self._failed.append((number, str(error)))
            return ""
        if text.strip():
            self._by_ocr.append(number)
        return text

    def _read(self, number: int, trail: tuple[str, ...], builder: Builder) -> None:
        import pypdfium2

        try:
            page = self._pdf[number]
            text = page.get_textpage()
            body = page_text(text)
            over = overlay(self._pdf, page, text)
            self._files += attachments.data_of(over.files, self._members)
            pictured = _is_scan(page, sum(map(str.isalnum, body)))
            read = pictured and self._reading.ocr and self._read_picture(page, number + 1)
            if read:
                body = read  # (what was printed over the picture is drawn with it)
            elif pictured:
                self._unread.pictures.append(number + 1)
            elif not (body.strip() or over.fields or over.notes):
                self._unread.others.append(number + 1)
            page.close()
        except pypdfium2.PdfiumError:  # one broken page must not cost the others
            self._unread.broken.append(number + 1)
            return
        builder.page(number + 1)
        builder.headings(*trail)
        for paragraph in (body, "\n".join(over.fields), *over.notes):
            builder.paragraph(paragraph)
            self._has_text = self._has_text or bool(paragraph.strip())


def _is_scan(page: PdfPage, letters: int) -> bool:
    """Whether a page with that many letters and digits of text is a picture: one without text that
    has any, or one with no more than a stamp or a number over pictures that fill it."""
    if letters > OF_A_STAMP:
        return False
    pictures = _pictures(page)
    return bool(pictures) and (not letters or sum(pictures) >= FILLED)


def _pictures(page: PdfPage) -> list[float]:
    """The shares of a page that its pictures take, those within what it draws as one included."""
    import pypdfium2.raw as pdfium

    width, height = page.get_size()
    edges = [c_float() for _ in range(4)]
    shares = []
    for i in range(min(pdfium.FPDFPage_CountObjects(page), MAX_OBJECTS)):
        drawn = pdfium.FPDFPage_GetObject(page, i)
        if not _holds_picture(drawn):
            continue
        pdfium.FPDFPageObj_GetBounds(drawn, *map(byref, edges))
        left, bottom, right, top = (edge.value for edge in edges)
        shares.append((right - left) * (top - bottom) / max(1.0, width * height))
    return shares


def _holds_picture(drawn: Any) -> bool:
    """Whether an object of a page is a picture, or draws one among others."""
    import pypdfium2.raw as pdfium

    pending = [drawn]
    for _ in range(MAX_OBJECTS):
        if not pending:
            break
        each = pending.pop()
        kind = pdfium.FPDFPageObj_GetType(each)
        if kind == pdfium.FPDF_PAGEOBJ_IMAGE:
            return True
        if kind == pdfium.FPDF_PAGEOBJ_FORM:
            count = min(pdfium.FPDFFormObj_CountObjects(each), MAX_OBJECTS)
            pending += [pdfium.FPDFFormObj_GetObject(each, i) for i in range(count)]
    return False


def _pages(numbers: list[int]) -> str:
    """How many pages, and which.

    >>> _pages([3]), _pages([1, 2, 3, 7]), _pages(list(range(1, 99, 2)))
    ('1 page (3)', '4 pages (1-3, 7)', '49 pages (1, 3, 5, 7, 9, 11, 13, 15, 17, 19, …)')
    """
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    named = [f"{a}" if a == b else f"{a}-{b}" for a, b in ranges[:PAGES_NAMED]]
    more = ["…"] * (len(ranges) > PAGES_NAMED)
    return f"{len(numbers)} page{'s' * (len(numbers) > 1)} ({', '.join(named + more)})"


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
