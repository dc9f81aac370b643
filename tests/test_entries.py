"""BibTeX, iCalendar and vCard: each entry is a part, with readable names of fields."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import Run, extract

BIB = r"""% my papers
@string{zp = "Zeitschrift f{\"u}r Physik"}
@comment{jabref-meta: hidden}
@article{schroed30,
  author  = {Schr{\"o}dinger, Erwin and Garc\'ia M{\'a}rquez, G.},
  title   = {{\"U}ber die kr{\"a}ftefreie {B}ewegung in der {Z}itter{B}ewegung},
  journal = zp # ", new",
  month   = may,
  year    = 1930,
  note    = "with {"}quotes{"} and 100% tea",
  url     = {https://example.org/a%20b_c},
}

@book(knuth84, title = "The {\TeX}book", author = {Donald E. Knuth}, year = {1984})
@misc{broken, title = {Never ends, year = 1999
@misc{last, title = {The last one}}
"""


def test_entries_of_bibtex() -> None:
    document = extract("a.bib", BIB.encode())
    entries = {block.part: document.text[block.start : block.end] for block in document.blocks}
    first = next(text for text in entries.values() if "schroed30" in text)
    assert first.split("\n") == [
        "article schroed30",
        "author: Schrödinger, Erwin and García Márquez, G.",
        "title: Über die kräftefreie Bewegung in der ZitterBewegung",
        "journal: Zeitschrift für Physik, new",
        "month: May",
        "year: 1930",
        'note: with "quotes" and 100% tea',
        "url: https://example.org/a%20b_c",
    ]
    assert "book knuth84\ntitle: The TeXbook\nauthor: Donald E. Knuth\nyear: 1984" in document.text
    assert "Never ends, year = 1999" in document.text
    assert "title: The last one" in document.text
    assert "my papers" in document.text
    assert "hidden" not in document.text
    assert ("The last one",) in [block.heading for block in document.blocks]
    assert document.lines
    lines = document.text.split("\n")
    assert document.lines[lines.index("year: 1930")] == 9
    assert document.lines[lines.index("misc last")] == 16


ICS = (
    b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nX-WR-CALNAME:Chapel\r\n"
    b"BEGIN:VTIMEZONE\r\nTZID:Europe/Zurich\r\nEND:VTIMEZONE\r\n"
    b"BEGIN:VEVENT\r\nUID:1234-abcd\r\nDTSTART;TZID=Europe/Zurich:20240503T093000\r\n"
    b"SUMMARY:Repair of the pu\r\n mp\\, at last\r\nDESCRIPTION:First line\\nsecond\\; third\r\n"
    b'ORGANIZER;CN="Ada L.":mailto:ada@example.org\r\nLOCATION:Caf'
) + b"\xc3\r\n \xa9 Central\r\n" + (
    b"BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:Take the wrench\r\nEND:VALARM\r\n"
    b"END:VEVENT\r\nBEGIN:VTODO\r\nSUMMARY:Buy tea\r\nDUE;VALUE=DATE:20240601\r\nEND:VTODO\r\n"
    b"END:VCALENDAR\r\n"
)  # fmt: skip


def test_entries_of_a_calendar(qrank: Callable[..., Run], tmp_path: Path) -> None:
    document = extract("a.ics", ICS)
    assert document.title == "Chapel"
    texts = [document.text[block.start : block.end] for block in document.blocks]
    assert texts == [
        "start: 2024-05-03 09:30 Europe/Zurich\nRepair of the pump, at last\n"
        "description: First line\nsecond; third\norganizer: Ada L. <ada@example.org>\n"
        "location: Café Central\ndescription: Take the wrench",
        "Buy tea\ndue: 2024-06-01",
    ]
    assert [block.heading for block in document.blocks] == [
        ("Repair of the pump, at last",),
        ("Buy tea",),
    ]
    (tmp_path / "a.ics").write_bytes(ICS)
    qrank("index", str(tmp_path), "--no-embed")
    [result] = qrank("search", "pump", "--mode", "bm25", "--jsonl").lines()
    assert (result["start_line"], result["heading"]) == (9, "Repair of the pump, at last")
    event = ICS[ICS.index(b"BEGIN:VEVENT") : ICS.index(b"BEGIN:VTODO")]
    alone = extract("a.ics", event)
    assert (alone.title, alone.fields) == (
        "Repair of the pump, at last",
        {"start": "2024-05-03 09:30"},
    )


VCF = """BEGIN:VCARD
VERSION:2.1
N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Schr=C3=B6dinger;Erwin;;Dr.;
FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Dr. Erwin Schr=C3=
=B6dinger
TEL;HOME;VOICE:+43 1 2345
NOTE;ENCODING=QUOTED-PRINTABLE;CHARSET=ISO-8859-1:Caf=E9 =0D=0Aat nine
PHOTO;ENCODING=BASE64;JPEG:/9j/4AAQSkZJRgABAQ
END:VCARD
BEGIN:VCARD
VERSION:3.0
FN:Ada Lovelace
item1.ADR;TYPE=home:;;1 High St;Cork\\, old;;;Ireland
ORG:Analytical;Engines
BDAY:1815-12-10
END:VCARD
"""


def test_entries_of_an_address_book() -> None:
    document = extract("a.vcf", VCF.encode())
    texts = [document.text[block.start : block.end] for block in document.blocks]
    assert texts == [
        "Dr. Erwin Schrödinger\nphone: +43 1 2345\nnote: Café \nat nine",
        "Ada Lovelace\naddress: 1 High St, Cork, old, Ireland\n"
        "organization: Analytical, Engines\nbirthday: 1815-12-10",
    ]
    assert [block.heading for block in document.blocks] == [
        ("Dr. Erwin Schrödinger",),
        ("Ada Lovelace",),
    ]


@pytest.mark.parametrize("end", [20, 90, 150, 230, 400, 560])
def test_what_is_cut_off_is_read_as_far_as_it_goes(end: int) -> None:
    assert "my papers" in extract("a.bib", BIB.encode()[:end]).text
    if end > 230:
        assert "Repair of the pump" in extract("a.ics", ICS[:end]).text
        assert "Schrödinger" in extract("a.vcf", VCF.encode()[:end]).text


def test_what_begins_no_calendar_is_read_as_a_text() -> None:
    assert extract("a.ics", b"just a text\n").text.strip() == "just a text"
