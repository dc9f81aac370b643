"""E-books: the chapters in reading order, each read as HTML.

Formats: EPUB 3.3, sections 4 (container) and 5 (package); EPUB 2. (The existing library is under
the AGPL.)
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote

from qrank.errors import ExtractError
from qrank.ingest.extract import html
from qrank.ingest.extract.archive import open_zip, read, truncation_note, xml
from qrank.ingest.extract.building import Builder, properties
from qrank.results import Document

if TYPE_CHECKING:
    from lxml.etree import _Element

_DC = "{http://purl.org/dc/elements/1.1/}"
_PAGES = ("application/xhtml+xml", "text/html")
_NAMED = 3  # chapters listed in a note for each reason
# Obfuscation of fonts (EPUB 3.3, 4.2.3, and Adobe's): the text is not encrypted.
_FONT_METHODS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
_SELF_CLOSED = re.compile(r"<([A-Za-z][\w:-]*)(\s[^<>]*)?/>")


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield a document for each chapter, with the book's title, and its number as page; chapters
    that can't be read are in a note. Raises ExtractError when it is not an e-book, or encrypted."""
    archive = open_zip(file)
    names = _Names(archive)
    place = _package_place(archive, names)
    package = xml(archive, place)
    title = package.findtext(f".//{_DC}title") or ""
    fields = properties(
        author=[element.text or "" for element in package.iter(f"{_DC}creator")],
        keywords=[element.text or "" for element in package.iter(f"{_DC}subject")],
    )
    hrefs = {item.get("id"): item.get("href", "") for item in _all(package, "item")}
    order = [hrefs.get(reference.get("idref"), "") for reference in _all(package, "itemref")]
    named = set(order)
    # Pages that are only reached by links (notes and the like) follow. The table of contents is
    # left out.
    order += [
        href
        for item in _all(package, "item")
        if item.get("media-type") in _PAGES
        and "nav" not in item.get("properties", "").split()
        and (href := item.get("href", "")) not in named
        and names.find(posixpath.join(posixpath.dirname(place), href))
    ]
    locked = _locked(archive, names)
    unread: dict[str, list[str]] = {}  # reason -> chapters
    done: set[str] = set()  # chapters may be listed twice
    any_text = False
    for number, href in enumerate(order, 1):
        name = names.find(posixpath.join(posixpath.dirname(place), href))
        if name in done:
            continue
        builder = Builder()
        builder.page(number)
        try:
            if not name:
                raise ExtractError("missing")
            done.add(name)
            if name in locked:
                raise ExtractError("encrypted (DRM)")
            page = _expand_empty_elements(html.decode_html(read(archive, name)))
            html.add(builder, page, line=None)
        except ExtractError as error:
            reason = str(error).removeprefix(f"{name} in it ").removeprefix("is ")
            unread.setdefault(reason, []).append(href or f"chapter {number}")
            continue
        any_text = True
        yield builder.document(title, fields)
    note = ", ".join(filter(None, [truncation_note(archive), _note(unread)]))
    if not any_text:
        if locked and list(unread) == ["encrypted (DRM)"]:
            raise ExtractError(f"encrypted (DRM: {_vendor(names)})")
        raise ExtractError(f"none of its chapters can be read: {note or 'it names none'}")
    builder = Builder()
    for element in package.iter(f"{_DC}description"):  # often HTML
        html.add(builder, "".join(map(str, element.itertext())), line=None)
    builder.note = note
    about = builder.document(title, fields)
    if note or about.blocks:
        yield about


class _Names:
    """Finds members by names that differ in case, Unicode normalisation or encoding, or that have
    backslashes, percent escapes or a fragment."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.all = archive.namelist()
        self._exact = set(self.all)
        self._folded: dict[str, str] = {}
        for name in self.all:
            for spelling in (name, _as_utf8(name)):
                self._folded.setdefault(_folded(spelling), name)

    def find(self, name: str) -> str:
        """The actual name of a member; empty when there is none."""
        plain = name.partition("#")[0]
        for spelling in (name, unquote(name), plain, unquote(plain)):
            path = posixpath.normpath(spelling.replace("\\", "/")).lstrip("/")
            actual = path if path in self._exact else self._folded.get(_folded(path), "")
            if actual:
                return actual
        return ""


def _folded(name: str) -> str:
    path = posixpath.normpath(name.replace("\\", "/")).lstrip("/")
    return unicodedata.normalize("NFC", path).casefold()


def _as_utf8(name: str) -> str:
    """A name in UTF-8 without the flag for it, which zipfile decodes as cp437."""
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _package_place(archive: zipfile.ZipFile, names: _Names) -> str:
    """The path of the package document, from the container, else the first one there is. Raises
    ExtractError when there is none."""
    container = names.find("META-INF/container.xml")
    if container:
        for rootfile in _all(xml(archive, container), "rootfile"):
            if place := names.find(rootfile.get("full-path", "")):
                return place
    packages = [name for name in names.all if name.lower().endswith(".opf")]
    if not packages:
        reason = "damaged, or not an e-book: it has no package document"
        raise ExtractError(truncation_note(archive) or reason)
    return packages[0]


def _all(root: _Element, name: str) -> Iterator[_Element]:
    """The elements of a name in any namespace: older books have another one, or none."""
    return root.iter(f"{{*}}{name}")


def _locked(archive: zipfile.ZipFile, names: _Names) -> set[str]:
    """The encrypted members, without obfuscated fonts."""
    place = names.find("META-INF/encryption.xml")
    if not place:
        return set()
    locked = set()
    for data in _all(xml(archive, place), "EncryptedData"):
        methods = [each.get("Algorithm", "") for each in _all(data, "EncryptionMethod")]
        if methods and all(method in _FONT_METHODS for method in methods):
            continue
        locked |= {names.find(each.get("URI", "")) for each in _all(data, "CipherReference")}
    return locked - {""}


def _vendor(names: _Names) -> str:
    """The name of the DRM, by the files that come with it."""
    for place, vendor in (
        ("META-INF/license.lcpl", "Readium LCP"),
        ("META-INF/sinf.xml", "Apple FairPlay"),
        ("META-INF/rights.xml", "Adobe ADEPT"),
    ):
        if names.find(place):
            return vendor
    return "META-INF/encryption.xml"


def _expand_empty_elements(page: str) -> str:
    """Expand empty elements of XHTML: to an HTML parser, <title/> is a start tag.

    >>> _expand_empty_elements("<title/><br/><a id='x'/>")
    "<title></title><br/><a id='x'></a>"
    """

    def expanded(tag: re.Match[str]) -> str:
        if tag[1].lower() in _VOID:
            return tag[0]
        return f"<{tag[1]}{tag[2] or ''}></{tag[1]}>"

    return _SELF_CLOSED.sub(expanded, page)


def _note(unread: dict[str, list[str]]) -> str:
    notes = []
    for reason, chapters in unread.items():
        more = ", …" if len(chapters) > _NAMED else ""
        chapter = "1 chapter" if len(chapters) == 1 else f"{len(chapters)} chapters"
        notes.append(f"{chapter} {reason} ({', '.join(chapters[:_NAMED])}{more})")
    return "; ".join(notes)
