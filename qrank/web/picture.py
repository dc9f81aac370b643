"""A page of a PDF as PNG: python -m qrank.web.picture PAGE, the PDF on stdin."""

from __future__ import annotations

import struct
import sys
import zlib
from typing import Any

MOST_PIXELS = 1600  # on the longer side
DPI_SCALE = 2.0  # pixels per point, at most


def main() -> None:
    """Draw the page to stdout; the exit status is not 0 when that fails."""
    data = sys.stdin.buffer.read()
    sys.stdout.buffer.write(draw(data, int(sys.argv[1])))


def draw(data: bytes, number: int) -> bytes:
    """Draw a page, counted from 1, as PNG. Raises IndexError, or pypdfium2's error."""
    import pypdfium2

    document = pypdfium2.PdfDocument(data)
    if not 1 <= number <= len(document):
        raise IndexError(number)
    page = document[number - 1]
    scale = min(DPI_SCALE, MOST_PIXELS / max(*page.get_size(), 1.0))
    bitmap = page.render(scale=scale, may_draw_forms=False, rev_byteorder=True)
    return png(bitmap.to_numpy()[:, :, :3])


def png(pixels: Any) -> bytes:
    """Encode pixels, an array of uint8 of shape (height, width, 3), as PNG (RFC 2083).

    >>> import numpy
    >>> png(numpy.zeros((1, 1, 3), numpy.uint8))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 6)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


if __name__ == "__main__":
    main()
