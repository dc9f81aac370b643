"""Rich Text Format by different programs and in different encodings."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from compound_files import compound
from support import extract

from qrank.errors import ExtractError
from qrank.ingest.extract import documents

FILES = Path(__file__).parent / "files"

HEAD = r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset204 Arial Cyr;}"
HEAD += r"{\f2\fcharset128 Mincho;}{\f3\fcharset2 Symbol;}}{\colortbl;\red0;}"
HEAD += r"{\stylesheet{\ql Normal;}{\s1 heading 1;}{\s2\outlinelevel1 Otsikko;}{\*\cs3 Title;}}"


def blocks(body: str, head: str = HEAD) -> list[str]:
    data = io.BytesIO((head + body + "}").encode("latin-1"))
    return next(iter(documents(data, "a.rtf"))).text.split("\n\n")


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        # Words in several runs, groups and lines of the file.
        (r"Zitter{\b beweg}ung", "Zitterbewegung"),
        ("Zitter\r\nbeweg\nung", "Zitterbewegung"),
        (r"Zitter\-beweg{\*\bkmkstart a}{\*\bkmkend a}ung", "Zitterbewegung"),
        (r"Zitter{\*\unknown gone}bewegung{\xe{gone}}{\tc gone}", "Zitterbewegung"),
        (r"Zitter\plain\f0\fs20 bewegung", "Zitterbewegung"),
        # Encodings: of the file, of a font, of two bytes.
        (r"caf\'e9 \'80", "café €"),
        (r"{\f1 \'cf\'f0\'e8\'e2\'e5\'f2}", "Привет"),
        (r"{\f2 \'93\'8c\'8b\'9e}", "東京"),
        (r"{\f2 \'83A\'83C}", "アイ"),  # the second byte is a letter
        (r"{\f3 a\'b7}-ray", "α-ray"),
        # \u with what follows for older programs.
        (r"\u8364?5", "€5"),
        (r"\u8364\'80 5", "€ 5"),
        (r"\uc0\u8364 5", "€5"),
        (r"\uc2\u8364 EU5", "€5"),
        (r"{\uc0 \u1055}\u1055?x", "ПП" + "x"),
        (r"\u-3913?", chr(0x10000 - 3913)),
        (r"\u-10179?\u-8704?", "😀"),
        (r"\u8364{\b x}", "€x"),
        # Signs.
        (r"a\tab b\line c\~d\_e\emdash f\ldblquote g\rdblquote\{\}\\", "a\tb\nc\u00a0d-e—f“g”{}\\"),
        # Fields, pictures, objects, revisions.
        (r"{\field{\*\fldinst HYPERLINK x}{\fldrslt link}}s", "links"),
        (r"{\*\shppict{\pict\pngblip 89504e47}}{\nonshppict{\pict 00}}x", "x"),
        (r"{\object\objemb{\*\objdata 0102}{\result{\pict 00}shown}}", "shown"),
        (r"a{\deleted gone}b\deleted gone\deleted0 c", "abc"),
        (r"{\pict\bin5 {{{{{}x", "x"),
        (r"{\upr{gone}{\*\ud{\u1055?}}}", "П"),
        (r"{\mmath{\*\moMath{\mf{\mfPr{\mtype bar}}{\mnum a}{\mden b}}}}", "a/b"),
        (r"{\v hidden}", "hidden"),
    ],
)  # fmt: skip
def test_a_text_is_read_as_it_is_meant(body: str, wanted: str) -> None:
    assert blocks(body) == [wanted]


@pytest.mark.parametrize(
    ("mark", "codec", "text"),
    [
        (r"\ansicpg1250", "cp1250", "żółw"), (r"\ansicpg1251", "cp1251", "Привет"),
        (r"\mac", "mac_roman", "café"), (r"\pc", "cp437", "café"), (r"\pca", "cp850", "Ø"),
        (r"\ansicpg932", "cp932", "東京"), (r"\ansicpg936", "gb18030", "东京"),
        (r"\ansicpg65001", "utf-8", "żółw"), (r"\ansicpg99999", "cp1252", "café"),
    ],
)  # fmt: skip
def test_the_code_page_of_the_file(mark: str, codec: str, text: str) -> None:
    raw = text.encode(codec)
    escaped = "".join(f"\\'{byte:02x}" for byte in raw)
    for written in (escaped.encode(), raw):
        data = b"{\\rtf1" + mark.encode() + b" " + written + b"\\par}"
        assert extract("a.rtf", data).text == text


def test_what_is_beside_the_text_follows_the_paragraph() -> None:
    body = (
        r"ward{\footnote\pard first}robe{\*\annotation second}\par "
        r"{\shp{\*\shpinst{\sp{\sn wzDescription}{\sv third}}{\sp{\sn x}{\sv gone}}"
        r"{\shptxt\pard fourth\par fifth}}{\shprslt gone}}text\par "
        r"{\*\do\dptxbx{\dptxbxtext sixth}}end"
    )
    assert blocks(body) == [
        *("wardrobe", "first", "second", "text", "third", "fourth\nfifth", "end", "sixth"),
    ]


def test_headings_tables_and_page_headers() -> None:
    body = (
        r"{\header case \b ZQ\par}{\headerl case ZQ}{\footer{\*\shppict{\pict x}}page}"
        r"\pard\s1 One\par"
        r"\pard\s2 Two\par\pard\outlinelevel2 Three\par\pard plain\par "
        r"\trowd\pard\intbl kind\cell count\cell\row\pard\intbl one\par two\cell 7\cell\row"
        r"\pard after\par"
    )
    document = extract("a.rtf", (HEAD + body + "}").encode())
    assert document.text.split("\n\n") == [
        *("# One", "## Two", "### Three", "plain", "kind | count\none two | 7", "after"),
        *("case ZQ", "page"),
    ]
    assert [block.part for block in document.blocks] == [0, 0, 0, 1, 1]
    assert document.title == "One"


def test_its_properties_are_its_title_and_fields() -> None:
    info = r"{\info{\title W\'e4ders}{\upr{\author ?}{\*\ud{\author Ada \u379?}}}{\subject Mud}"
    document = extract("a.rtf", (HEAD + info + r"{\keywords a; b}}x}").encode())
    assert (document.title, document.text) == ("Wäders", "x")
    assert document.fields == {"author": "Ada Ż", "subject": "Mud", "keywords": ["a", "b"]}


def test_a_file_that_is_cut_off_is_read_as_far_as_it_goes() -> None:
    data = (HEAD + r"first\par second {\b third").encode()
    document = extract("a.rtf", data)
    assert document.text == "first\n\nsecond third"
    assert document.note == f"truncated at byte {len(data)}"
    with pytest.raises(ExtractError, match="not RTF"):
        extract("a.rtf", b"\0\1\2")


def test_rtf_by_other_names_is_rtf() -> None:
    data = (HEAD + "word}").encode()
    for name in ("a.doc", "a.docx", "a", "a.rtf"):
        assert extract(name, data).text == "word"


def test_a_million_groups_take_linear_time() -> None:
    assert extract("a.rtf", b"{\\rtf1 " + b"{" * 1_000_000 + b"x" + b"}" * 1_000_000).text == "x"
    assert extract("a.rtf", b"{\\rtf1 " + b"}" * 1_000_000 + b"x").text == "x"


def packed(name: bytes, data: bytes) -> bytes:
    """A file as Windows' packager embeds it."""
    place = b"C:\\" + name + b"\0"
    head = b"\2\0" + name + b"\0" + place + struct.pack("<HHI", 0, 3, len(place)) + place
    return head + struct.pack("<I", len(data)) + data


def embedded(data: bytes, kind: int = 2) -> str:
    """An object with this content, its digits over several lines."""
    head = struct.pack("<III8sII", 0x501, kind, 8, b"Package\0", 0, 0)
    digits = (head + struct.pack("<I", len(data)) + data).hex()
    lines = "\r\n".join(digits[at : at + 100] for at in range(0, len(digits), 100))
    return r"{\object\objemb{\*\objclass Package}{\*\objdata " + lines + r"}{\result shown}}"


def test_files_in_a_document_are_its_members() -> None:
    word = compound({"Package": (FILES / "water.docx").read_bytes()})
    body = "Before " + embedded(packed(b"notes.txt", b"A harrier.")) + embedded(word) + " after"
    body += embedded(b"?" * 40) + embedded(b"", kind=1)
    found = list(documents(io.BytesIO(f"{HEAD}{body}}}".encode("latin-1")), "a.rtf"))
    assert found[0].text == "Before shownshown aftershownshown"
    members = {each.member: each.text for each in found[1:] if each.text}
    assert members["notes.txt"] == "A harrier."
    assert "Drain every pipe" in members["object"]
    assert found[-1].note == "2 embedded objects"


def test_an_object_may_be_written_in_bytes() -> None:
    content = packed(b"a.txt", b"A harrier.")
    head = struct.pack("<IIIIII", 0x501, 2, 0, 0, 0, len(content))
    written = HEAD.encode() + b"x{\\object{\\*\\objdata \\bin%d " % len(head + content)
    found = list(documents(io.BytesIO(written + head + content + b"}}y}"), "a.rtf"))
    assert [each.text for each in found] == ["xy", "A harrier."]


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        (r"\fftype1\ffres25\ffdefres1", "☒"),
        (r"\fftype1\ffres0\ffdefres1", "☐"),
        (r"\fftype2\ffres1\ffhaslistbox{\*\ffl Bonn}{\*\ffl K\'f6ln}", "Köln"),
        (r"\fftype2\ffres25\ffdefres0{\*\ffl Bonn}{\*\ffl Ulm}", "Bonn"),
        (r"\fftype2\ffres9{\*\ffl Bonn}", ""),
        (r"\fftype0{\*\ffdeftext gone}", ""),
    ],
)
def test_what_fields_of_forms_show_is_text(field: str, shown: str) -> None:
    written = r"{\field{\*\fldinst { FORM %s {\*\datafield 00}{\*\formfield{%s{\*\ffname gone}}}}}"
    body = "in " + written % ("gone", field) + r"{\fldrslt }} end"
    assert blocks(body) == [f"in {shown} end"]
