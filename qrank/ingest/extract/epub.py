"""E-books: the chapters in reading order, each read as HTML.

The format: EPUB 3.3, sections 4 (container) and 5 (package); the library for it is under AGPL.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import unquote

from qrank.errors import ExtractError
from qrank.ingest.extract import html
from qrank.ingest.extract.archive import open_zip, read, xml
from qrank.ingest.extract.building import Builder, properties
from qrank.results import Document

_OPF = "{http://www.idpf.org/2007/opf}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}"


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield a document a chapter, all with the book's title; page is the chapter's number."""
    archive = open_zip(file)
    container = xml(archive, "META-INF/container.xml").find(f".//{_CONTAINER}rootfile")
    place = container.get("full-path", "") if container is not None else ""
    package = xml(archive, place)
    title = package.findtext(f".//{_DC}title") or ""
    fields = properties(
        author=[element.text or "" for element in package.iter(f"{_DC}creator")],
        keywords=[element.text or "" for element in package.iter(f"{_DC}subject")],
    )
    chapters = {
        item.get("id"): posixpath.normpath(
            posixpath.join(posixpath.dirname(place), unquote(item.get("href", "")))
        )
        for item in package.iter(f"{_OPF}item")
    }
    found = False
    unread = set(archive.namelist())  # a chapter that is named again is not read again
    for number, reference in enumerate(package.iter(f"{_OPF}itemref"), 1):
        name = chapters.get(reference.get("idref"))
        if name not in unread:
            continue
        unread.remove(name)
        builder = Builder()
        builder.page(number)
        html.add(builder, html.decode_html(read(archive, name)), line=None)
        found = True
        yield builder.document(title, fields)
    if not found:
        raise ExtractError("damaged, or no e-book: it names no chapters")
