"""Office files of before 2007, written by LibreOffice from tests/files/birds.docx."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from compound_files import compound
from support import extract

from qrank.errors import ExtractError
from qrank.ingest.extract import documents

FILES = Path(__file__).parent / "files"
BODY = [
    "# Wading birds — Ærøskøbing", "Zitterbewegung “quoted” żółw Привет 東京 😀",
    "With a note and a comment", "kind | count\ndunlin | 7\nżuraw | one two", "after the box",
    "tab\tstop\nnew line", "link text",
]  # fmt: skip
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
    with pytest.raises(ExtractError, match="before Word 97"):
        extract("a.doc", compound({"WordDocument": b"\xdb\xa5\x2d\0" + bytes(5000)}))
    for start in range(0, len(data), 97):
        for made in (data[:start], data[:start] + b"\xff\x7f\0\xff" + data[start + 4 :]):
            try:
                list(documents(io.BytesIO(made), "a.doc"))
            except ExtractError:
                continue
