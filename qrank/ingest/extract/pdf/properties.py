"""The metadata of a PDF: its document information dictionary, else its XMP metadata.

Formats: ISO 32000-2, 14.3 (metadata); ISO 16684-1 (XMP).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract.archive import parse_xml
from qrank.ingest.extract.building import properties

if TYPE_CHECKING:
    from lxml.etree import _Element
    from pypdfium2 import PdfDocument

MAX_XMP = 1 << 20  # bytes
MAX_SCANNED = 64 << 20  # bytes of a file that are searched for XMP
_STREAM = re.compile(rb"/Type\s*/Metadata\b[^>]{0,200}>>\s*stream\r?\n")
# Placeholders that programs write.
_NOTHING = frozenset(("untitled", "anonymous", "unspecified", "unknown"))
_DC = "{http://purl.org/dc/elements/1.1/}"
_PDF = "{http://ns.adobe.com/pdf/1.3/}"
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def read(pdf: PdfDocument, file: BinaryIO) -> tuple[str, dict[str, object]]:
    """(title, fields). file: the PDF's bytes; its position is changed."""
    title, author, subject, keywords = (
        _cleaned(str(pdf.get_metadata_value(name)))
        for name in ("Title", "Author", "Subject", "Keywords")
    )
    fields = properties(author, subject, keywords)
    if title and len(fields) == 3:
        return title, fields
    root = _xmp(file)
    if root is None:
        return title, fields
    titles, subjects = _texts(root, "title"), _texts(root, "description")
    words = _texts(root, "subject") or [root.findtext(f".//{_PDF}Keywords") or ""]
    if len(words) == 1:
        [keywords] = words
    more = properties(_texts(root, "creator"), "".join(subjects[:1]), keywords or words)
    return title or "".join(titles[:1]), more | fields


def _cleaned(value: str) -> str:
    return "" if value.strip("() ").lower() in _NOTHING else value


def _xmp(file: BinaryIO) -> _Element | None:
    """The XMP metadata of the document, which pdfium has no function for; None when there are none,
    they are compressed, or there are several (of pictures in it)."""
    file.seek(0)
    data = file.read(MAX_SCANNED)
    matches = [*_STREAM.finditer(data)]
    if len(matches) != 1:
        return None
    start = matches[0].end()
    end = data.find(b"endstream", start, start + MAX_XMP)
    if end < 0:
        return None
    try:
        return parse_xml(data[start:end].strip(b"\0\r\n \t"), "XMP")
    except ExtractError:
        return None


def _texts(root: _Element, name: str) -> list[str]:
    """The values of a Dublin Core property, the default language first."""
    items = [item for each in root.iter(_DC + name) for item in each.iter(f"{_RDF}li")]
    items.sort(key=lambda item: item.get(_XML_LANG) != "x-default")
    return [item.text for item in items if item.text]
