"""XFA forms in PDFs: their captions and the values of fields. The pages of such a PDF only say that
another program is needed.

Format: Adobe XML Forms Architecture 3.3.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from qrank.errors import ExtractError
from qrank.ingest.extract.archive import parse_xml
from qrank.ingest.extract.building import one_line

if TYPE_CHECKING:
    from lxml.etree import _Element
    from pypdfium2 import PdfDocument

MAX_PACKET = 16 << 20  # bytes


def is_dynamic(pdf: PdfDocument) -> bool:
    """Whether the pages are rendered from the form, so that the PDF has no text of its own."""
    import pypdfium2.raw as pdfium

    return bool(pdf.get_formtype() == pdfium.FORMTYPE_XFA_FULL)


def texts(pdf: PdfDocument) -> list[str]:
    """The captions and texts of the form, then the non-empty fields as "name: value"."""
    packets = _packets(pdf)
    lines: list[str] = []
    for element in packets["template"].iter() if "template" in packets else ():
        if _local(element) in ("text", "exData"):
            lines.append(one_line(" ".join(str(each) for each in element.itertext())))
    for element in packets["datasets"].iter() if "datasets" in packets else ():
        value = one_line(element.text or "")
        if value and isinstance(element.tag, str) and not len(element):
            lines.append(f"{_local(element)}: {value}")
    return [*dict.fromkeys(each for each in lines if each)]


def _local(element: _Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _packets(pdf: PdfDocument) -> dict[str, _Element]:
    import pypdfium2.raw as pdfium

    result = {}
    for i in range(min(pdfium.FPDF_GetXFAPacketCount(pdf), 100)):
        size = pdfium.FPDF_GetXFAPacketName(pdf, i, None, 0)
        name = ctypes.create_string_buffer(max(size, 1))
        pdfium.FPDF_GetXFAPacketName(pdf, i, name, size)
        if name.value not in (b"template", b"datasets"):
            continue
        length = ctypes.c_ulong()
        pdfium.FPDF_GetXFAPacketContent(pdf, i, None, 0, length)
        if not 0 < length.value <= MAX_PACKET:
            continue
        data = ctypes.create_string_buffer(length.value)
        pdfium.FPDF_GetXFAPacketContent(pdf, i, data, length.value, length)
        try:
            result[name.value.decode()] = parse_xml(data.raw, name.value.decode())
        except ExtractError:
            continue
    return result
