"""Files embedded in a PDF (ISO 32000-2, 7.11.4), also those of annotations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from qrank.ingest.extract.members import Members

if TYPE_CHECKING:
    from pypdfium2 import PdfAttachment, PdfDocument

MOST = 1000  # attachments that are read
MAX_SIZE = 64 << 20  # bytes of one


def of_document(pdf: PdfDocument, members: Members) -> list[tuple[str, bytes]]:
    """(name, data) of the attachments of the document; members: gets those that are skipped."""
    return data_of(
        [pdf.get_attachment(i) for i in range(min(pdf.count_attachments(), MOST))], members
    )


def data_of(files: Iterable[PdfAttachment], members: Members) -> list[tuple[str, bytes]]:
    """(name, data) of attachments; members: gets those that are skipped."""
    import pypdfium2

    result = []
    for file in files:
        name = "attachment"
        try:
            name = str(file.get_name()) or name
            data = bytes(file.get_data())
        except (pypdfium2.PdfiumError, ValueError):
            members.skip(name, "damaged or empty")
            continue
        if len(data) > MAX_SIZE:
            members.skip(name, f"larger than {MAX_SIZE >> 20} MiB")
        else:
            result.append((name, data))
    return result
