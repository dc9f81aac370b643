"""Choosing the reader of an office file by its content, as file names are often wrong."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import BinaryIO

from qrank.errors import ExtractError, NoTextError
from qrank.ingest.extract import archive, documents, with_damage
from qrank.ingest.extract.building import truncated
from qrank.ingest.extract.office import excel_xml, one_file, protected
from qrank.ingest.extract.office.older.compound import MAGIC, Compound
from qrank.results import Document
from qrank.settings import Reading

# Modules by the prefix of a zip file's members.
_PARTS = {
    "word/": "office.docx",
    "ppt/": "office.pptx",
    "xl/": "office.xlsx",
    "content.xml": "office.odf",
    "META-INF/container.xml": "epub",
}
_STREAMS = {  # modules by the streams of a compound file
    "__properties_version1.0": "office.older.msg",
    "WordDocument": "office.older.doc",
    "PowerPoint Document": "office.older.ppt",
    "Workbook": "office.xlsx",
    "Book": "office.xlsx",
}
# Modules that yield members (their extract has the parameter reading).
_HOLDING = frozenset(
    f"office.{name}"
    for name in ("docx", "pptx", "xlsx", "odf", "rtf", "older.doc", "older.ppt", "older.msg")
)
_ENCRYPTED, _ONE_FILE = "encrypted", "one file"
# Modules by the namespace of a single XML file.
_NAMESPACES = {
    one_file.FLAT: _ONE_FILE,
    one_file.WORD_2003: _ONE_FILE,
    excel_xml.NAMESPACE: "office.excel_xml",
    b"office:document": "office.odf",
}
HEAD = 2048  # bytes


def word(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the documents of a file with a Word suffix."""
    yield from _read(file, "office.docx", reading)


def slides(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the documents of a file with a presentation's suffix."""
    yield from _read(file, "office.pptx", reading)


def sheets(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the documents of a file with a spreadsheet's suffix."""
    yield from _read(file, "office.xlsx", reading)


def open_document(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the documents of a file with an OpenDocument suffix."""
    yield from _read(file, "office.odf", reading)


def rich_text(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the documents of a file with the suffix rtf."""
    yield from _read(file, "office.rtf", reading)


def old_word(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the documents of a file with the suffix doc, which may also be a plain text."""
    yield from _read(file, "text", reading)


def outlook(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the documents of a file with the suffix msg."""
    yield from _read(file, "office.older.msg", reading)


def _read(file: BinaryIO, default: str, reading: Reading) -> Iterator[Document]:
    """default: the module of the suffix, for files whose content does not show their format."""
    head = file.read(HEAD)
    file.seek(0)
    module = _reader(head, file) or default
    file.seek(0)
    if module == _ENCRYPTED:
        file = protected.decrypted(file)
        module = "office.xlsx"  # only Excel has a built-in password
    elif module == _ONE_FILE:
        file = one_file.as_zip(file)
        module = _by_parts(file) or default
        file.seek(0)
    if module != "text":
        extract = import_module(f"qrank.ingest.extract.{module}").extract
        source = extract(file, reading) if module in _HOLDING else extract(file)
        yield from with_damage(source, _truncation_note(file))
        return
    try:
        yield from documents(file, "", reading)
    except NoTextError as error:
        raise ExtractError("damaged, or not what its extension says") from error


def _reader(head: bytes, file: BinaryIO) -> str | None:
    """The module for a file by its content, None if unknown; "text" for a web page or a mail, as
    both are saved with the suffixes of Word and Excel."""
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
    """The module for a zip file; None if unknown."""
    try:
        names = archive.open_zip(file).namelist()[:1000]
    except ExtractError:  # raised again by the reader
        return None
    names = [name.replace("\\", "/") for name in names]
    for mark, module in _PARTS.items():
        if any(name.startswith(mark) for name in names):
            return module
    return None


def _compound(file: Compound) -> str:
    """The module for a compound file. Raises ExtractError when it is protected by rights
    management, NoTextError when it is of another program."""
    if file.has("EncryptedPackage"):
        managed = any("drm" in name.lower() for name in file.names)
        if managed:
            raise ExtractError("protected by rights management (DRM)")
        return _ENCRYPTED
    for name, module in _STREAMS.items():
        if file.has(name):
            return module
    if file.is_truncated:
        raise ExtractError(truncated(file.size))
    raise NoTextError("binary file")


def _truncation_note(file: BinaryIO) -> str:
    """The note for a truncated compound file; empty for other files."""
    start = file.read(len(MAGIC))
    file.seek(0)
    if start != MAGIC:
        return ""
    compound = Compound(file)
    file.seek(0)
    return truncated(compound.size) if compound.is_truncated else ""
