"""PDF: the text of each page (pypdfium2) under the bookmarks of the outline, its annotations and
form fields, and attached files."""

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
from qrank.ingest.extract.pdf import attachments, properties, protected, trailer, xfa
from qrank.ingest.extract.pdf.annotations import overlay
from qrank.ingest.extract.pdf.page import page_text
from qrank.results import Document
from qrank.settings import Reading

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

MAX_BOOKMARKS = 10_000
MAX_OBJECTS = 1000  # of a page with little text, that are searched for pictures
OF_A_STAMP = 60  # letters and digits of a stamp on a scan: a page number, a date, an owner
FILLED = 0.5  # share of a page covered by pictures, from which it is a scan
PAGES_A_PART = 200  # pages of one document that is yielded
PAGES_NAMED = 10  # page ranges listed in a note


def extract(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the document, a long one in parts, then those of its attachments. Raises ExtractError
    when it is not a PDF, or encrypted, NoTextError when it has no text (scans)."""
    pdf, file, end_note = _opened(file)
    try:
        yield from _Reader(pdf, file, reading, end_note).documents()
    finally:
        pdf.close()


def _opened(file: BinaryIO) -> tuple[PdfDocument, BinaryIO, str]:
    """(PDF, its bytes, the note when its end is missing). Raises ExtractError."""
    import pypdfium2

    try:
        pdf = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError as error:
        is_locked = re.search("password|security", str(error), re.IGNORECASE)
        file.seek(0)
        data = file.read()
        reason = truncated(len(data)) if trailer.is_truncated(data) else "damaged, or not a PDF"
        if is_locked:
            copy, reason = protected.with_empty_password(data), "encrypted"
            repaired = _open_bytes(copy) if copy else None
        else:
            repaired = _repaired(data)
        if repaired is None:
            raise ExtractError(reason) from error
        return *repaired, "" if is_locked else reason
    if not trailer.ends_early(file):
        return pdf, file, ""
    file.seek(0)
    data = file.read()
    if not len(pdf) and (repaired := _repaired(data)):
        pdf.close()
        pdf, file = repaired
    return pdf, file, truncated(len(data))


def _open_bytes(data: bytes) -> tuple[PdfDocument, BinaryIO] | None:
    """A PDF and its bytes; None when it can't be opened, or has no pages."""
    import pypdfium2

    file = io.BytesIO(data)
    try:
        pdf = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError:
        return None
    if len(pdf):
        return pdf, file
    pdf.close()
    return None


def _repaired(data: bytes) -> tuple[PdfDocument, BinaryIO] | None:
    """A PDF that can't be opened, repaired, and its bytes; None when that fails."""
    whole = data[: data.rfind(b"endobj") + 6]  # without the truncated object
    for make in (trailer.with_trailer, trailer.with_pages):
        for part in (data, whole):
            copy = make(part)
            repaired = _open_bytes(copy) if copy else None
            if repaired is not None:
                return repaired
    return None


@dataclass(slots=True)
class _Unread:
    """The numbers of the pages without text, from 1."""

    broken: list[int] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)
    others: list[int] = field(default_factory=list)
    hint: str = ""  # how to read pictures

    def reason(self) -> str:
        """The reason why the file has no text."""
        return self.note() if self.pictures or self.broken else "its pages hold no text"

    def note(self) -> str:
        """The note on pages without text; empty without any."""
        notes = []
        if self.pictures:
            notes.append(f"no text layer: {_pages(self.pictures)} of pictures{self.hint}")
        if self.others:
            notes.append(f"{_pages(self.others)} without text")
        if self.broken:
            notes.append(f"{_pages(self.broken)} damaged")
        return "; ".join(notes)


class _Reader:
    def __init__(self, pdf: PdfDocument, file: BinaryIO, reading: Reading, end_note: str) -> None:
        import pypdfium2

        self._pdf = pdf
        self._title, self._fields = properties.read(pdf, file)
        self._reading = reading
        self._by_ocr: list[int] = []  # the pages, from 1
        self._members = Members(reading)
        self._unread = _Unread(hint="" if reading.ocr else " (--ocr reads them)")
        self._files: list[tuple[str, bytes]] = []  # of annotations
        self._has_text = False
        self._end_note = end_note  # when the end of the file is missing
        self._failed: list[tuple[int, str]] = []  # (page, error of OCR)
        with suppress(pypdfium2.PdfiumError):  # without it, the raw values of fields are read
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
        yield from self._members.final_notes(self._note())
        if not self._has_text and not self._members.read_any:
            raise NoTextError(self._end_note or self._unread.reason())

    def _note(self) -> str:
        notes = [self._end_note, self._unread.note()]
        notes += [f"page {page}: {reason}" for page, reason in self._failed[:PAGES_NAMED]]
        return "; ".join(filter(None, notes))

    def _read_picture(self, page: PdfPage, number: int) -> str:
        """The text of a page by OCR of its rendering; empty when OCR fails, which is noted."""
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
            is_scan = _is_scan(page, sum(map(str.isalnum, body)))
            ocr_text = is_scan and self._reading.ocr and self._read_picture(page, number + 1)
            if ocr_text:
                body = ocr_text  # (the rendering includes text over the picture)
            elif is_scan:
                self._unread.pictures.append(number + 1)
            elif not (body.strip() or over.fields or over.notes):
                self._unread.others.append(number + 1)
            page.close()
        except pypdfium2.PdfiumError:  # go on with the other pages
            self._unread.broken.append(number + 1)
            return
        builder.page(number + 1)
        builder.headings(*trail)
        for paragraph in (body, "\n".join(over.fields), *over.notes):
            builder.paragraph(paragraph)
            self._has_text = self._has_text or bool(paragraph.strip())


def _is_scan(page: PdfPage, letters: int) -> bool:
    """Whether a page is a scan: it has pictures and no text, or pictures cover it and it has little
    text, as a stamp. letters: the number of letters and digits of its text."""
    if letters > OF_A_STAMP:
        return False
    pictures = _pictures(page)
    return bool(pictures) and (not letters or sum(pictures) >= FILLED)


def _pictures(page: PdfPage) -> list[float]:
    """The shares of a page's area of its pictures, including those in form objects."""
    import pypdfium2.raw as pdfium

    width, height = page.get_size()
    edges = [c_float() for _ in range(4)]
    shares = []
    for i in range(min(pdfium.FPDFPage_CountObjects(page), MAX_OBJECTS)):
        page_object = pdfium.FPDFPage_GetObject(page, i)
        if not _has_picture(page_object):
            continue
        pdfium.FPDFPageObj_GetBounds(page_object, *map(byref, edges))
        left, bottom, right, top = (edge.value for edge in edges)
        shares.append((right - left) * (top - bottom) / max(1.0, width * height))
    return shares


def _has_picture(page_object: Any) -> bool:
    """Whether an object of a page is a picture, or a form object with one."""
    import pypdfium2.raw as pdfium

    pending = [page_object]
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
    """The number of pages, and their ranges.

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
    """The bookmark path of each page (from 0): the first one that starts on it, else the last one
    before."""
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
        pass  # a damaged outline: use the bookmarks read so far
    starts.sort(key=lambda start: start[0])
    trails: dict[int, tuple[str, ...]] = {}
    at = 0
    current: tuple[str, ...] = ()
    for number in range(len(pdf)):
        on_page: list[tuple[str, ...]] = []
        while at < len(starts) and starts[at][0] <= number:
            on_page.append(starts[at][1])
            at += 1
        if on_page:
            current = on_page[-1]
        trails[number] = on_page[0] if on_page else current
    return trails
