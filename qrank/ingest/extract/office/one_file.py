"""Office files that are a single XML file: Flat OPC (`pkg:package`) and WordprocessingML 2003
(`w:wordDocument`). They are converted to a zip file, which the usual readers accept.

For Word 2003 it is enough to split the file into parts: its elements have the same local names as
today, except for those of lists; notes and comments are in the text.
"""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract import archive
from qrank.ingest.extract.office.package import attribute, child, local

if TYPE_CHECKING:
    from lxml.etree import _Element

FLAT = b"http://schemas.microsoft.com/office/2006/xmlPackage"
WORD_2003 = b"http://schemas.microsoft.com/office/word/2003/wordml"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
# Names that have changed since: elements, and attributes.
_ELEMENTS = {
    "listDef": "abstractNum", "list": "num", "ilst": "abstractNumId",
    "listPr": "numPr", "ilfo": "numId", "nfc": "numFmt",
}  # fmt: skip
_ATTRIBUTES = {"listDefId": "abstractNumId", "ilfo": "numId"}
_NUMBERS = {"0": "decimal", "1": "upperRoman", "2": "lowerRoman", "3": "upperLetter"}
_NUMBERS |= {"4": "lowerLetter", "5": "ordinal", "23": "bullet", "255": "none"}
_CORE = {"Title": "title", "Author": "creator", "Subject": "subject", "Keywords": "keywords"}


def as_zip(file: BinaryIO) -> BinaryIO:
    """Convert a file to a zip file. Raises ExtractError when it is not XML, or neither format."""
    root = archive.parse_xml(file.read(archive.MAX_XML + 1), "document")
    parts = _flat(root) if local(root) == "package" else _word(root)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, data in parts:
            packed.writestr(name, data)
    out.seek(0)
    return out


def _flat(root: _Element) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of each part."""
    for part in root.iterfind("{*}part"):
        name = attribute(part, "name").lstrip("/")
        xml, binary = child(part, "xmlData"), child(part, "binaryData")
        if xml is not None and len(xml):
            yield name, _xml(xml[0])
        elif binary is not None:
            yield name, _bytes(binary.text or "")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except ValueError:
        return b""


def _word(root: _Element) -> Iterator[tuple[str, bytes]]:
    from lxml import etree

    body = child(root, "body")
    if body is None:
        raise ExtractError("damaged, or not a Word document")
    _rename(root)
    heads = [each for each in root.iter("{*}hdr", "{*}ftr") if len(each)]
    relations = etree.Element("Relationships")
    for number, part in enumerate(heads, 1):
        kind = "header" if local(part) == "hdr" else "footer"
        target = f"{kind}{number}.xml"
        kind = f"{_RELATIONS}/{kind}"
        etree.SubElement(relations, "Relationship", Id=f"r{number}", Type=kind, Target=target)
        yield f"word/{target}", _xml(part)
    yield "word/_rels/document.xml.rels", _xml(relations)
    for name, part_name in (("styles", "styles"), ("lists", "numbering")):
        listing = child(root, name)
        if listing is not None:
            yield f"word/{part_name}.xml", _xml(listing)
    core = etree.Element("coreProperties")
    properties = child(root, "DocumentProperties")
    for each in () if properties is None else properties:
        if local(each) in _CORE:
            etree.SubElement(core, _CORE[local(each)]).text = each.text
    yield "docProps/core.xml", _xml(core)
    document = etree.Element("document")
    document.append(body)
    yield "word/document.xml", _xml(document)


def _rename(root: _Element) -> None:
    for element in root.iter("{*}lists", "{*}listPr"):
        for each in element.iter(*(f"{{*}}{name}" for name in _ELEMENTS)):
            old = local(each)
            each.tag = each.tag.replace(old, _ELEMENTS[old])
            for key, value in each.items():
                name = str(key).rpartition("}")[2]
                if name in _ATTRIBUTES:
                    each.set(_ATTRIBUTES[name], value)
                elif old == "nfc":
                    each.set(key, _NUMBERS.get(str(value), "decimal"))


def _xml(element: _Element) -> bytes:
    from lxml import etree

    return etree.tostring(element, with_tail=False)
