"""PDFs whose end is missing, and with it the table that says where everything is: pdfium looks for
the objects itself, once a trailer tells it which of them is the document."""

from __future__ import annotations

import re

END = 2048  # bytes in which the mark of a file's end is
MAX_CATALOG = 4096  # bytes of the dictionary of the document
_OBJECT = re.compile(rb"(?<!\d)(\d{1,10})\s+(\d{1,5})\s+obj\b")
_CATALOG = re.compile(rb"/Type\s*/Catalog\b")
_ENCRYPTED = re.compile(rb"/Filter\s*/Standard\b")


def is_cut(data: bytes) -> bool:
    """Whether a file is a PDF without its end."""
    return b"%PDF-" in data[:1024] and b"%%EOF" not in data[-END:]


def with_trailer(data: bytes) -> bytes | None:
    """The PDF with an end; None where nothing shows which object is the document, and where
    it is encrypted: how, the trailer says."""
    if _ENCRYPTED.search(data):
        return None
    found = None
    for catalog in _CATALOG.finditer(data):
        start = max(0, catalog.start() - MAX_CATALOG)
        end = data.rfind(b"endobj", start, catalog.start())
        objects = [*_OBJECT.finditer(data, max(start, end), catalog.start())]
        found = objects[-1] if objects else found
    if found is None:
        return None
    trailer = b"\nendobj\ntrailer\n<</Root %b %b R>>\nstartxref\n0\n%%%%EOF\n"
    return data + trailer % found.groups()
