"""Writes small PDFs, object by object, for what no file in tests/files has (ISO 32000-1, 7.5)."""

from __future__ import annotations

from collections.abc import Sequence

CATALOG, PAGES, FONT = 1, 2, 3  # the first objects of every file


def stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<<%b/Length %d>>stream\n%b\nendstream" % (entries, len(data), data)


def text(*lines: tuple[int, int, str]) -> bytes:
    """The content of a page: each line at its place (x, y), in points from the lower left."""
    shown = "".join(f"1 0 0 1 {x} {y} Tm ({line}) Tj " for x, y, line in lines)
    return f"BT /F 9 Tf {shown}ET".encode("cp1252")


class Pdf:
    """A document in the making: `add` gives the number that an object can be referred to by."""

    def __init__(self) -> None:
        font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"
        self._objects = [b"", b"", font]
        self._kids: list[int] = []

    def add(self, body: bytes) -> int:
        self._objects.append(body)
        return len(self._objects)

    def replace(self, number: int, body: bytes) -> None:
        self._objects[number - 1] = body

    def page(self, content: bytes = b"", entries: bytes = b"", resources: bytes = b"") -> int:
        """Add a page; content: its drawing operators; entries: more of its dictionary."""
        drawn = self.add(stream(content))
        self._kids.append(
            self.add(
                b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents %d 0 R"
                b"/Resources<</Font<</F 3 0 R>>%b>>%b>>" % (drawn, resources, entries)
            )
        )
        return self._kids[-1]

    def annotated_page(self, content: bytes, annotations: Sequence[bytes]) -> int:
        numbers = [self.add(each) for each in annotations]
        listed = b" ".join(b"%d 0 R" % number for number in numbers)
        return self.page(content, b"/Annots[%b]" % listed)

    def bytes(self, catalog: bytes = b"", info: bytes = b"") -> bytes:
        """The file; catalog: more of the document's dictionary; info: what it says of itself."""
        objects = [*self._objects, b"<<%b>>" % info]
        objects[0] = b"<</Type/Catalog/Pages 2 0 R%b>>" % catalog
        kids = b" ".join(b"%d 0 R" % kid for kid in self._kids)
        objects[1] = b"<</Type/Pages/Count %d/Kids[%b]>>" % (len(self._kids), kids)
        out = bytearray(b"%PDF-1.7\n")
        places = []
        for number, body in enumerate(objects, 1):
            places.append(len(out))
            out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
        table, count = len(out), len(objects)
        out += b"xref\n0 %d\n0000000000 65535 f \n" % (count + 1)
        out += b"".join(b"%010d 00000 n \n" % place for place in places)
        trailer = b"trailer<</Size %d/Root 1 0 R/Info %d 0 R>>\nstartxref\n%d\n%%%%EOF\n"
        return bytes(out + trailer % (count + 1, count, table))
