"""Office files of before 2007, written by LibreOffice from tests/files/birds.docx."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pytest
from compound_files import compound
from office_files import docx, paragraph
from support import extract

from qrank.errors import ExtractError
from qrank.ingest.extract import documents
from qrank.ingest.extract.office.older.compound import Compound

FILES = Path(__file__).parent / "files"
BODY = [
    "# Wading birds — Ærøskøbing", "Zitterbewegung “quoted” żółw Привет 東京 😀",
    "With a note and a comment", "kind | count\ndunlin | 7\nżuraw | one two", "after the box",
    "tab\tstop\nnew line", "link text",
]  # fmt: skip
TITLES = ("Pumps", "Valves", "Winter")
BESIDE = {"The footnote says whimbrel", "A comment on dunlins"}


@pytest.mark.parametrize("name", ["birds.docx", "birds.rtf", "birds.doc"])
def test_a_document_is_the_same_in_every_format_of_word(name: str) -> None:
    data = (FILES / name).read_bytes()
    document = extract(name, data)
    texts = document.text.split("\n\n")
    boxed = {"In a text box"} & set(texts)  # LibreOffice leaves it out of RTF
    assert [text for text in texts if text in BODY] == BODY
    assert set(texts) - set(BODY) == BESIDE | boxed | {"Case ZQ-4711"}
    assert texts[-1] == "Case ZQ-4711"
    assert document.blocks[-1].part > document.blocks[0].part
    assert document.title == "Birds of the shore"
    assert document.fields == {
        "author": "Ada Quince", "subject": "Waders", "keywords": ["dunlin", "knot"],
    }  # fmt: skip
    assert document.blocks[1].heading == ("Wading birds — Ærøskøbing",)
    for other in ("a", "a.docx", "a.doc", "a.rtf"):  # it is read as what it is
        assert extract(other, data).text == document.text


def test_a_presentation_by_libreoffice() -> None:
    document = extract("water.ppt.gz", (FILES / "water.ppt.gz").read_bytes())
    texts = document.text.split("\n\n")
    pages = [block.page for block in document.blocks]
    assert texts[::3] == ["# Pumps", "# Valves", "# Winter"]
    assert "Drain every pipe before the first frost of November arrives." in texts[-2]
    assert texts[2::3] == [f"Notes on {name}: ask the plumber." for name in TITLES]
    assert pages == [1, 1, 2, 2, 3, 3]
    assert document.title == "Water works"


def record(kind: int, data: bytes, holds: bool = False, instance: int = 0) -> bytes:
    return struct.pack("<2HI", instance << 4 | 15 * holds, kind, len(data)) + data


def ppt(*slides: bytes, edits: int = 1) -> bytes:
    """A presentation of these slides, of which all but the last edit are out of date."""
    data, before = b"", 0
    for edit in range(edits):
        places = []
        for slide in slides:
            places.append(len(data))
            data += slide if edit == edits - 1 else record(0x03EE, text("out of date"), True)
        listed = b"".join(
            record(0x03F3, struct.pack("<5I", i, 0, 0, 255 + i, 0))
            for i in range(2, len(slides) + 2)
        )
        places.insert(0, len(data))
        data += record(0x03E8, record(0x0FF0, listed, True), True)
        directory = len(data)
        numbers = struct.pack(f"<{len(places) + 1}I", len(places) << 20 | 1, *places)
        data += record(0x1772, numbers)
        now = len(data)
        data += record(0x0FF5, struct.pack("<7I", 0, 0, before, directory, 1, 9, 0))
        before = now
    user = record(0x0FF6, struct.pack("<3I", 20, 0xE391C05F, before))
    return compound({"PowerPoint Document": data, "Current User": user})


def text(words: str, kind: int = 4) -> bytes:
    atoms = record(0x0F9F, struct.pack("<I", kind)) + record(0x0FA0, words.encode("utf-16-le"))
    return record(0xF00D, atoms)


def test_the_newest_slides_with_their_comments() -> None:
    names = [record(0x0FBA, each.encode("utf-16-le")) for each in ("Ada", "Too long", "A")]
    comment = record(0x2EE0, b"".join(names), True)
    first = record(0x03EE, text("Żółw\rline", 0) + text("*") + comment, True)
    second = record(0x03EE, record(0x040C, text("body"), True), True)
    document = extract("a.ppt", ppt(first, second, edits=3))
    assert document.text.split("\n\n") == ["# Żółw line", "Too long", "body"]
    assert [block.page for block in document.blocks] == [1, 2]


def test_files_in_a_presentation_are_its_members() -> None:
    word = compound({"Package": (FILES / "water.docx").read_bytes()})
    small = zlib.compress(word)
    objects = [
        struct.pack("<2HI", 0x0010, 0x1011, 4 + len(small)) + struct.pack("<I", len(word)) + small,
        record(0x1011, compound({"WordDocument": bytes(5000)})),
        record(0x1011, compound({"Equation Native": b"?" * 50})),
        record(0x1011, compound({"_VBA_PROJECT_CUR/dir": b"?" * 50})),
    ]
    data = ppt(record(0x03EE, text("body"), True), *objects)
    found = list(documents(io.BytesIO(data), "a.ppt"))
    assert found[0].text == "body"
    assert {each.member for each in found[1:] if "Drain every pipe" in each.text} == {"object"}
    assert (
        found[-1].note
        == "object.doc: older than Word 97, which is not supported; 1 embedded object"
    )


def test_damaged_and_encrypted_presentations() -> None:
    data = ppt(record(0x03EE, text("body"), True), edits=2)
    with pytest.raises(ExtractError, match=r"^encrypted$"):
        extract("a.ppt", data.replace(struct.pack("<I", 0xE391C05F), struct.pack("<I", 0xF3D1C4DF)))
    for start in range(0, len(data), 5):
        for made in (data[:start], data[:start] + b"\xff\x7f\0\xff" + data[start + 4 :]):
            try:
                list(documents(io.BytesIO(made), "a.ppt"))
            except ExtractError:
                continue


def test_what_is_called_doc_may_be_a_text_or_a_page() -> None:
    assert extract("a.doc", b"Read me first.").text == "Read me first."
    assert extract("a.doc", b"<html><p>one<p>two").text == "one\n\ntwo"
    with pytest.raises(ExtractError, match="not what its extension says"):
        extract("a.doc", bytes(range(256)) * 20)


def test_damaged_and_encrypted_word_documents() -> None:
    data = (FILES / "birds.doc").read_bytes()
    at = data.index(b"\xec\xa5") + 10
    locked = data[:at] + bytes([data[at], data[at + 1] | 1]) + data[at + 2 :]
    with pytest.raises(ExtractError, match=r"^encrypted$"):
        extract("a.doc", locked)
    with pytest.raises(ExtractError, match="older than Word 97"):
        extract("a.doc", compound({"WordDocument": b"\xdb\xa5\x2d\0" + bytes(5000)}))
    for start in range(0, len(data), 97):
        for made in (data[:start], data[:start] + b"\xff\x7f\0\xff" + data[start + 4 :]):
            try:
                list(documents(io.BytesIO(made), "a.doc"))
            except ExtractError:
                continue


@pytest.mark.parametrize("name", ["changed.docx", "changed.doc"])
def test_what_was_deleted_while_changes_were_recorded_is_no_text(name: str) -> None:
    document = extract(name, (FILES / name).read_bytes())
    assert document.text.split("\n\n") == [
        "Pay the sum of five hundred crowns", "The end: Zitterbewegung",
    ]  # fmt: skip


def native(name: str, data: bytes, wide: str = "") -> bytes:
    """A file packed into an object, as a stream; wide: its name as newer programs write it."""
    path = b"C:\\" + name.encode() + b"\0"
    held = b"\2\0" + name.encode() + b"\0" + path + b"\0\0\3\0"
    held += struct.pack("<I", len(path)) + path + struct.pack("<I", len(data)) + data
    for each in (f"C:\\{wide}", wide) if wide else ():
        held += struct.pack("<I", len(each)) + each.encode("utf-16-le")
    return struct.pack("<I", len(held)) + held


def rebuilt(name: str, streams: dict[str, bytes]) -> bytes:
    """A file of before 2007 with more streams."""
    old = Compound(io.BytesIO((FILES / name).read_bytes()))
    return compound({each: old.read(each) for each in old.names} | streams)


def test_objects_in_a_document_are_read_or_counted() -> None:
    objects = [
        (FILES / "birds.doc").read_bytes(),
        compound({"\x01Ole10Native": native("a.txt", b"packed text")}),
        compound({"Package": docx(paragraph("in a package"))}),
        compound({"Equation Native": b"x"}), compound({"Other": b"x"}), compound({})[:600],
    ]  # fmt: skip
    ole = '<w:r><w:object><o:OLEObject r:id="rId{}"/></w:object></w:r>'
    body = "".join(paragraph(ole.format(i)) for i in range(1, len(objects) + 1))
    parts = {f"word/embeddings/o{i}.bin": data for i, data in enumerate(objects)}
    related = [("oleObject", f"embeddings/o{i}.bin") for i in range(len(objects))]
    made = documents(io.BytesIO(docx(body, parts, *related)), "a.docx")
    main, bird, text, package, last = made
    assert (main.text, main.member) == ("", "")
    assert (bird.member, bird.text.split("\n\n")[1]) == ("o0.doc", BODY[1])
    assert (text.member, text.text) == ("a.txt", "packed text")
    assert (package.member, package.text) == ("o2", "in a package")
    assert last.note == "3 embedded objects"


def test_files_in_a_document_of_before_2007_are_members() -> None:
    with_object = rebuilt(
        "birds.doc", {"ObjectPool/_1/\x01Ole10Native": native("tern.txt", b"A tern", "żuraw.txt"),
                      "ObjectPool/_2/Equation Native": b"x"},
    )  # fmt: skip
    main, tern, last = documents(io.BytesIO(with_object), "a.doc")
    assert main.member == ""
    assert (tern.member, tern.text) == ("żuraw.txt", "A tern")
    assert last.note == "1 embedded object"


def test_an_encrypted_workbook_is_called_so() -> None:
    records = ((0x809, bytes(16)), (0x2F, bytes(54)), (0xE1, b"\xb0\4"))
    book = b"".join(struct.pack("<2H", kind, len(data)) + data for kind, data in records)
    with pytest.raises(ExtractError, match=r"^encrypted$"):
        list(documents(io.BytesIO(compound({"Workbook": book})), "a.xls"))
    with pytest.raises(ExtractError, match="no text"):
        list(documents(io.BytesIO(compound({"Workbook": book[:20]})), "a.xls"))


def test_a_workbook_under_the_built_in_password_is_read() -> None:
    """Excel encrypts what is only protected against changes with a password it knows itself."""
    import msoffcrypto

    plain = (FILES / "water.xlsx").read_bytes()

    def locked(password: str) -> io.BytesIO:
        out = io.BytesIO()
        msoffcrypto.OfficeFile(io.BytesIO(plain)).encrypt(password, out)
        return out

    read = [each.text for each in documents(locked("VelvetSweatshop"), "a.xlsx")]
    assert read == [each.text for each in documents(io.BytesIO(plain), "a.xlsx")]
    with pytest.raises(ExtractError, match=r"^encrypted$"):
        list(documents(locked("another"), "a.xlsx"))
