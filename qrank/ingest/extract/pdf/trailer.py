"""Truncated PDFs, without the cross-reference table at the end: pdfium searches for the objects
itself, if there is a trailer that names the document catalog."""

from __future__ import annotations

import re

END = 2048  # bytes at the end of a file in which the end marker is
MAX_CATALOG = 4096  # bytes of the document catalog
_OBJECT = re.compile(rb"(?<!\d)(\d{1,10})\s+(\d{1,5})\s+obj\b")
_CATALOG = re.compile(rb"/Type\s*/Catalog\b")
_ENCRYPTED = re.compile(rb"/Filter\s*/Standard\b")


def is_truncated(data: bytes) -> bool:
    """Whether a file is a PDF without an end marker."""
    return b"%PDF-" in data[:1024] and b"%%EOF" not in data[-END:]


def with_trailer(data: bytes) -> bytes | None:
    """The PDF with a trailer added; None when there is no document catalog, or it is encrypted, as
    the parameters of that are in the lost trailer."""
    if _ENCRYPTED.search(data):
        return None
    number = None
    for catalog in _CATALOG.finditer(data):
        start = max(0, catalog.start() - MAX_CATALOG)
        end = data.rfind(b"endobj", start, catalog.start())
        objects = [*_OBJECT.finditer(data, max(start, end), catalog.start())]
        number = objects[-1] if objects else number
    if number is None:
        return None
    trailer = b"\nendobj\ntrailer\n<</Root %b %b R>>\nstartxref\n0\n%%%%EOF\n"
    return data + trailer % number.groups()
