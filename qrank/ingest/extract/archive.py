"""Opening formats that are zip files (office files, e-books), with limits against zip bombs."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract.building import truncated
from qrank.ingest.extract.office.salvage import Salvaged, is_truncated, salvage

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_UNPACKED = 512 << 20
MAX_MEMBERS = 20_000
MAX_XML = 64 << 20  # bytes of one member


def open_zip(file: BinaryIO) -> zipfile.ZipFile:
    """Open a zip file; a damaged one is salvaged. Raises ExtractError when it is not a zip file, is
    encrypted, or unpacks to too much."""
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        salvaged = salvage(file)
        if salvaged is None:
            file.seek(0)
            if file.read(2) == b"PK" and is_truncated(file):
                raise ExtractError(truncated(file.seek(0, io.SEEK_END))) from error
            raise ExtractError("damaged, or not what its extension says") from error
        archive = salvaged
    members = archive.infolist()
    if len(members) > MAX_MEMBERS or sum(m.file_size for m in members) > MAX_UNPACKED:
        raise ExtractError(f"unpacks to more than {MAX_UNPACKED >> 20} MiB or {MAX_MEMBERS} files")
    if any(m.flag_bits & 1 for m in members):
        raise ExtractError("encrypted")
    return archive


def truncation_note(archive: zipfile.ZipFile) -> str:
    """The note for a truncated or damaged zip file; empty for an intact one."""
    if not isinstance(archive, Salvaged):
        return ""
    if archive.is_truncated:
        return truncated(archive.size)
    return "damaged: read as far as possible"


def read(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member's content. Raises ExtractError when it is missing or damaged."""
    import zlib

    try:
        if archive.getinfo(name).file_size > MAX_XML:
            raise ExtractError(f"{name} in it unpacks to more than {MAX_XML >> 20} MiB")
        return archive.read(name)
    except KeyError as error:
        if isinstance(archive, Salvaged) and archive.is_truncated:
            raise ExtractError(truncation_note(archive)) from error
        raise ExtractError(f"{name} in it is missing") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise ExtractError(f"{name} in it is damaged") from error


def xml(archive: zipfile.ZipFile, name: str) -> _Element:
    """A member parsed as XML, without resolving entities. Raises ExtractError."""
    return parse_xml(read(archive, name), name)


def parse_xml(data: bytes, name: str) -> _Element:
    """Parse XML without resolving entities; name: for messages. Raises ExtractError."""
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        recover=True,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ExtractError(f"{name} in it is not valid XML") from error
    if root is None:
        raise ExtractError(f"{name} in it is not valid XML")
    return root
