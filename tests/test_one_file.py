"""Office files that are one XML file: Word 2003 XML, Flat OPC and, under any name, the others."""

from __future__ import annotations

import base64
import io
import re
import zipfile
from pathlib import Path

import pytest
from support import extract

from qrank.ingest.extract import documents, format_of

FILES = Path(__file__).parent / "files"
WORD = "http://schemas.microsoft.com/office/word/2003/wordml"


def words(name: str, data: bytes) -> list[str]:
    text = " ".join(document.text for document in documents(io.BytesIO(data), name))
    return re.findall(r"\w{2,}", text)


def flat(data: bytes) -> bytes:
    """The parts of a zip file in one XML file, as Word saves it."""
    parts = []
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        for name in packed.namelist():
            if name == "[Content_Types].xml":
                continue
            content = packed.read(name)
            if name.endswith((".xml", ".rels")):
                inner = re.sub(r"^\s*<\?xml[^>]*\?>", "", content.decode())
                inner = f"<pkg:xmlData>{inner}</pkg:xmlData>"
            else:
                inner = f"<pkg:binaryData>{base64.encodebytes(content).decode()}</pkg:binaryData>"
            parts.append(f'<pkg:part pkg:name="/{name}" pkg:contentType="x">{inner}</pkg:part>')
    space = 'xmlns:pkg="http://schemas.microsoft.com/office/2006/xmlPackage"'
    made = f"<?xml version='1.0'?>\n<pkg:package {space}>{''.join(parts)}</pkg:package>"
    return made.encode()


@pytest.mark.parametrize("name", ["birds.docx", "water.pptx", "water.xlsx"])
def test_flat_opc_is_read_as_its_zip_file(name: str) -> None:
    data = (FILES / name).read_bytes()
    for called in (name, "a.xml", "a"):
        assert words(called, flat(data)) == words(name, data)


def test_word_2003_xml_is_read_as_its_document() -> None:
    """By LibreOffice, which leaves out a tab stop."""
    data = (FILES / "birds.xml").read_bytes()
    wanted = words("birds.docx", (FILES / "birds.docx").read_bytes())
    assert words("birds.xml", data.replace(b"<w:t>stop", b"<w:tab/><w:t>stop")) == wanted
    for name in ("a.doc", "a.docx", "a.xml", "a"):
        assert words(name, data) == words("birds.xml", data)
        assert format_of(io.BytesIO(data), name) in ("doc", "docx")
    document = extract("a.xml", data)
    assert (document.title, document.fields["author"]) == ("Birds of the shore", "Ada Quince")


def test_word_2003_xml_as_word_writes_it() -> None:
    body = (
        '<wx:sect><wx:sub-section><w:p><w:pPr><w:pStyle w:val="h"/></w:pPr><w:r><w:t>Waders</w:t>'
        "</w:r></w:p>"
        '<w:p><w:pPr><w:listPr><w:ilvl w:val="0"/><w:ilfo w:val="7"/></w:listPr></w:pPr><w:r><w:t>'
        "a kestrel</w:t></w:r></w:p><w:p><w:r><w:t>Seen</w:t></w:r>"
        '<aml:annotation w:type="Word.Deletion"><aml:content><w:r><w:delText>gone</w:delText></w:r>'
        '</aml:content></aml:annotation><aml:annotation w:type="Word.Insertion"><aml:content><w:r>'
        "<w:t> here</w:t></w:r></aml:content></aml:annotation><w:r><w:pict><w:binData "
        'w:name="x">AAAA</w:binData></w:pict></w:r></w:p></wx:sub-section></wx:sect>'
    )
    lists = (
        '<w:lists><w:listDef w:listDefId="3"><w:lvl w:ilvl="0"><w:start w:val="1"/><w:nfc '
        'w:val="1"/><w:lvlText w:val="%1."/></w:lvl></w:listDef><w:list w:ilfo="7"><w:ilst '
        'w:val="3"/></w:list></w:lists>'
    )
    styles = (
        '<w:styles><w:style w:type="paragraph" w:styleId="h"><w:name w:val="heading 1"/></w:style>'
        "</w:styles>"
    )
    made = (
        f'<?xml version="1.0"?><?mso-application progid="Word.Document"?><w:wordDocument '
        f'xmlns:w="{WORD}" xmlns:wx="{WORD}/aux" xmlns:aml="http://schemas.microsoft.com/aml">'
        f"{lists}{styles}<w:body>{body}</w:body></w:wordDocument>"
    )
    document = extract("a.xml", made.encode())
    assert document.text.split("\n\n") == ["# Waders", "I. a kestrel", "Seen here"]


def test_spreadsheets_and_open_documents_are_read_when_called_xml() -> None:
    sheet = (
        '<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet">'
        "<Worksheet><Table><Row><Cell><Data>kestrel</Data></Cell><Cell><Data>merlin</Data></Cell>"
        "</Row></Table></Worksheet></Workbook>"
    )
    assert extract("a.xml", sheet.encode()).text == "kestrel | merlin"
    data = (FILES / "comments.fods").read_bytes()
    assert words("a.xml", data) == words("comments.fods", data)


def test_other_xml_stays_text() -> None:
    assert "<note>" in extract("a.xml", b"<?xml version='1.0'?><note>kestrel</note>").text
