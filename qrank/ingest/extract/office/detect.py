"""Choosing the reader of an office file by its content, for file names are often wrong."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import BinaryIO

from qrank.errors import ExtractError, NoTextError
from qrank.ingest.extract import archive, documents
from qrank.ingest.extract.office import excel_xml, one_file, protected
from qrank.ingest.extract.office.older.compound import MAGIC, Compound
from qrank.results import Document
from qrank.settings import Reading

# By what the parts of a zip file begin with.
_PARTS = {
    "word/": "office.docx",
    "ppt/": "office.pptx",
    "xl/": "office.xlsx",
    "content.xml": "office.odf",
    "META-INF/container.xml": "epub",
}
_STREAMS = {  # of compound files
    "__properties_version1.0": "office.older.msg",
    "WordDocument": "office.older.doc",
    "PowerPoint Document": "office.older.ppt",
    "Workbook": "office.xlsx",
    "Book": "office.xlsx",
}
# What may hold files that are members.
_HOLDING = frozenset(
    f"office.{name}"
    for name in ("docx", "pptx", "xlsx", "odf", "rtf", "older.doc", "older.ppt", "older.msg")
)
_ENCRYPTED, _ONE_FILE = "encrypted", "one file"
# By the namespaces of what is one XML file.
_NAMESPACES = {
    one_file.FLAT: _ONE_FILE,
    one_file.WORD_2003: _ONE_FILE,
    excel_xml.NAMESPACE: "office.excel_xml",
    b"office:document": "office.odf",
}
HEAD = 2048  # bytes


def word(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield what is in a file that is called a Word document."""
    yield from _read(file, "office.docx", reading)


def slides(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield what is in a file that is called a presentation."""
    yield from _read(file, "office.pptx", reading)


def sheets(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield what is in a file that is called a spreadsheet."""
    yield from _read(file, "office.xlsx", reading)


def open_document(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield what is in a file that is called an OpenDocument file."""
    yield from _read(file, "office.odf", reading)


def rich_text(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield what is in a file that is called Rich Text Format."""
    yield from _read(file, "office.rtf", reading)


def old_word(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield what is in a file that is called a Word document of before 2007; once any text was."""
    yield from _read(file, "text", reading)


def outlook(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield what is in a file that is called a message of Outlook."""
    yield from _read(file, "office.older.msg", reading)


def _read(file: BinaryIO, called: str, reading: Reading) -> Iterator[Document]:
    head = file.read(HEAD)
    file.seek(0)
    module = _reader(head, file) or called
    file.seek(0)
    if module == _ENCRYPTED:
        file = protected.decrypted(file)
        module = "office.xlsx"  # (Excel alone has such a password)
    elif module == _ONE_FILE:
        file = one_file.as_zip(file)
        module = _by_parts(file) or called
        file.seek(0)
    if module != "text":
        extract = import_module(f"qrank.ingest.extract.{module}").extract
        yield from extract(file, reading) if module in _HOLDING else extract(file)
        return
    try:
        yield from documents(file, "", reading)
    except NoTextError as error:
        raise ExtractError("damaged, or not what its extension says") from error


def _reader(head: bytes, file: BinaryIO) -> str | None:
    """The module that reads a file, as far as the file tells; `text` for what is a web page or a
    mail: both are saved under the suffixes of Word and Excel."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if start.startswith(b"{\\rt"):
        return "office.rtf"
    if head.startswith(MAGIC):
        return _compound(Compound(file))
    if head.startswith(b"PK"):
        return _by_parts(file)
    if start.startswith(b"<"):
        for mark, module in _NAMESPACES.items():
            if mark in head:
                return module
    if start.startswith((b"<!doctype html", b"<html", b"mime-version:")):
        return "text"
    return None


def _by_parts(file: BinaryIO) -> str | None:
    """The module for a zip file."""
    try:
        names = archive.open_zip(file).namelist()[:1000]
    except ExtractError:  # (whoever reads it will say so)
        return None
    names = [name.replace("\\", "/") for name in names]
    for mark, module in _PARTS.items():
        if any(name.startswith(mark) for name in names):
            return module
    return None


def _compound(file: Compound) -> str:
    """The module for a compound file. Raises ExtractError for what rights management protects,
    NoTextError for what other programs write."""
    if file.has("EncryptedPackage"):
        managed = any("drm" in name.lower() for name in file.names)
        if managed:
            raise ExtractError("protected by rights management (DRM)")
        return _ENCRYPTED
    for name, module in _STREAMS.items():
        if file.has(name):
            return module
    raise NoTextError("binary file")
