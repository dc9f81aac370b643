"""PDFs written object by object: what is on their pages, over them and in them."""

from __future__ import annotations

import re
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from pdf_files import Pdf, stream, text
from support import Run, extract

from qrank.errors import ExtractError, NoTextError

FILES = Path(__file__).parent / "files"
LEFT = """The garden pump draws water from the old well
behind the chapel and fills the long stone
trough where the horses drink in the even-
ing before the gate is closed for the night.
In spring the trough is scrubbed with sand and
left to dry, and the pump is oiled by whoever
finds the can, which is never where it was.""".split("\n")
RIGHT = """A stuck brass valve is freed with warm vine-
gar and patience, which is the one thing that
a plumber learns in his first winter at work
and the last that he forgets when he is old.
Some plumbers swear by lamp oil instead, but
the smell of it stays in the water, they say,
until the next rain has filled the tank.""".split("\n")


def columns(*, alternating: bool) -> bytes:
    """A heading across the page, two columns, a line across the page."""
    left = [(50, 700 - 12 * i, line) for i, line in enumerate(LEFT)]
    right = [(310, 700 - 12 * i, line) for i, line in enumerate(RIGHT)]
    pairs = zip(left, right, strict=True)
    lines = [line for pair in pairs for line in pair] if alternating else left + right
    pdf = Pdf()
    above = (50, 740, "On pumps and valves, with some remarks on what is said of both of them")
    below = (50, 560, "These lines go across the whole page again, from the left to the right.")
    pdf.page(text(above, *lines, below))
    return pdf.bytes()


@pytest.mark.parametrize("alternating", [True, False])
def test_columns_are_read_one_after_the_other(alternating: bool, tmp_path: Path) -> None:
    data = columns(alternating=alternating)
    words = extract("a.pdf", data).text.split()
    said = " ".join(words)
    assert "horses drink in the evening before the gate" in said
    assert "warm vinegar and patience" in said
    assert said.index("On pumps") < said.index("The garden") < said.index("it was.")
    assert said.index("it was.") < said.index("A stuck brass") < said.index("across the whole page")
    if which("pdftotext"):
        (tmp_path / "a.pdf").write_bytes(data)
        run = ["pdftotext", tmp_path / "a.pdf", "-"]
        other = subprocess.run(run, capture_output=True, text=True, check=True).stdout
        assert words == other.split()


def test_the_cells_of_a_table_stay_in_their_row() -> None:
    rows = [
        ("Half inch brass valve with lever", "Freed with warm vinegar and patience"),
        ("Three quarter inch iron valve", "Replaced in May with one made of brass"),
        ("Garden pump, cast iron, green", "Oiled every spring by whoever is there"),
        ("Stone trough behind the chapel-", "Scrubbed with sand, then left to dry"),
        ("Lead pipe from the well to pump", "Forbidden since the summer of last year"),
    ]
    pdf = Pdf()
    places = ((50, 310), range(700, 600, -14))
    pdf.page(
        text(
            *(
                (x, y, cell)
                for y, row in zip(places[1], rows, strict=False)
                for x, cell in zip(places[0], row, strict=True)
            )
        )
    )
    said = " ".join(extract("a.pdf", pdf.bytes()).text.split())
    for left, right in rows:
        assert f"{left} {right}" in said
    assert "chapel- Scrubbed" in said


def test_hyphens_at_the_ends_of_lines_go_and_those_of_names_stay() -> None:
    lines = (
        "this recon-",
        "struction of the Anglo-",
        "Saxon wall of 1990-",
        "1995, well-",
        "known",
    )
    pdf = Pdf()
    pdf.page(text(*((50, 700 - 12 * i, line) for i, line in enumerate(lines))))
    said = " ".join(extract("a.pdf", pdf.bytes()).text.split())
    assert said.startswith("this reconstruction of the Anglo-Saxon wall of 1990-")
    assert said.endswith("1995, wellknown")


def test_words_without_blanks_are_parted_by_their_gaps() -> None:
    """What groff and Ghostscript make of a blank: space between letters (Tc) around the gap."""
    # Widths of Helvetica, in thousandths: t 278, h 556, e 556, y 500, a 556.
    close = b"1 0 0 1 50 700 Tm (the) Tj 2.5 Tc 12.51 0 Td (ya) Tj 0 Tc 12.004 0 Td (re mo) Tj "
    spaced = b"2.5 Tc 1 0 0 1 50 680 Tm (CHAPTER) Tj 0 Tc "
    pdf = Pdf()
    pdf.page(b"BT /F 9 Tf " + close + spaced + b"1 0 0 1 50 660 Tm [(in) -300 (rain)] TJ ET")
    assert extract("a.pdf", pdf.bytes()).text.split("\n") == ["they are mo", "CHAPTER", "in rain"]


def test_what_lies_over_a_page_is_read_with_it() -> None:
    pdf = Pdf()
    widget = b"/Type/Annot/Subtype/Widget/Rect[100 700 200 720]"
    surname = pdf.add(b"<<%b/FT/Tx/T(surname)/TU(Family name:)/V(Kestrel)>>" % widget)
    parent = pdf.add(b"<<>>")
    kid = pdf.add(b"<<%b/Parent %d 0 R>>" % (widget, parent))
    pdf.replace(
        parent,
        b"<</FT/Tx/T(place)/V(\xfe\xff\x00Z\x00\xfc\x00r\x00i\x00c\x00h)/Kids[%d 0 R]>>" % kid,
    )
    bird = pdf.add(
        b"<<%b/FT/Ch/Ff 131072/T(bird)/Opt[[(x1)(Peregrine)][(x2)(Lanner)]]/V(x1)>>" % widget
    )
    tick = pdf.add(b"<<%b/FT/Btn/T(trained)/V/Yes/AS/Yes/AP<</N<</Yes null/Off null>>>>>>" % widget)
    secret = pdf.add(b"<<%b/FT/Tx/Ff 8192/T(pin)/V(4711)>>" % widget)
    fields = (surname, parent, bird, tick, secret)
    shown = (surname, kid, bird, tick, secret)
    note = b"<</Type/Annot/Subtype/%b/Rect[10 10 20 20]/Contents(%b)>>"
    free, sticky = (
        pdf.add(note % (b"FreeText", b"Freetext goshawk")),
        pdf.add(note % (b"Text", b"Sticky harrier")),
    )
    popup = pdf.add(
        b"<</Type/Annot/Subtype/Popup/Parent %d 0 R/Rect[0 0 9 9]/Contents(Sticky harrier)>>"
        % sticky
    )
    rich = pdf.add(
        b"<</Type/Annot/Subtype/FreeText/Rect[0 0 9 9]/RC(<body><p>Rich</p><p>merlin</p></body>)>>"
    )
    listed = b" ".join(b"%d 0 R" % number for number in (*shown, free, sticky, popup, rich))
    pdf.page(text((50, 700, "Form of the falconer")), b"/Annots[%b]" % listed)
    form = b"/AcroForm<</Fields[%b]>>" % b" ".join(b"%d 0 R" % number for number in fields)
    document = extract("a.pdf", pdf.bytes(form))
    assert document.text.split("\n\n") == [
        "Form of the falconer",
        "Family name: Kestrel\nplace: Zürich\nbird: Peregrine\ntrained: Yes",
        *("Freetext goshawk", "Sticky harrier", "Rich merlin"),
    ]
    assert {block.page for block in document.blocks} == {1}


def test_a_form_that_another_program_draws_is_read() -> None:
    pdf = Pdf()
    template = b"<template><subform><draw><value><text>Falconer's licence</text></value></draw>"
    template += b"<field><caption><value><text>Bird</text></value></caption></field></subform>"
    data = b"<d:datasets xmlns:d='http://www.xfa.org/schema/xfa-data/1.0/'><d:data><form><bird>"
    data += b"Peregrine</bird><empty/></form></d:data></d:datasets>"
    packets = [pdf.add(stream(each)) for each in (template + b"</template>", data)]
    pdf.page(text((50, 700, "Please wait...")))
    form = b"/NeedsRendering true/AcroForm<</Fields[]/XFA[(template)%d 0 R(datasets)%d 0 R]>>"
    document = extract("a.pdf", pdf.bytes(form % (packets[0], packets[1])))
    pieces = document.text.split("\n\n")
    assert pieces == ["Please wait...", "Falconer's licence", "Bird", "bird: Peregrine"]


def picture(pdf: Pdf) -> tuple[bytes, bytes]:
    """(content, resources) of a page that is a picture."""
    image = b"/Subtype/Image/Width 2/Height 2/BitsPerComponent 8/ColorSpace/DeviceGray"
    return b"q 500 0 0 700 0 0 cm /I Do Q", b"/XObject<</I %d 0 R>>" % pdf.add(
        stream(b"\0\xff\xff\0", image)
    )


def test_pages_without_text_are_said(tmp_path: Path, qrank: Callable[..., Run]) -> None:
    pdf = Pdf()
    content, resources = picture(pdf)
    pdf.page(content, resources=resources)
    pdf.page(text((50, 700, "Kestrel")))
    pdf.page()
    pdf.page(content, resources=resources)
    broken = pdf.page(text((50, 700, "Merlin")))
    pdf.page(text((50, 700, "Hobby")))
    pdf.replace(broken, b"(no page at all)")
    (tmp_path / "a.pdf").write_bytes(pdf.bytes())
    run = qrank("index", "a.pdf", "--no-embed", "--json", QRANK_DB="t.db")
    [problem] = run.json()["errors"]
    assert problem["partly"]
    assert problem["reason"] == (
        "no text layer: 2 pages (1, 4) of pictures (--ocr reads them); "
        "1 page (3) without text; 1 page (5) damaged"
    )
    for word, page in (("Kestrel", 2), ("Hobby", 6)):
        [found] = qrank("search", word, "--mode", "bm25", "--jsonl", QRANK_DB="t.db").lines()
        assert found["page"] == page


def test_a_file_of_pictures_is_named_as_such() -> None:
    pdf = Pdf()
    content, resources = picture(pdf)
    for _ in range(3):
        pdf.page(content, resources=resources)
    with pytest.raises(NoTextError, match=r"^no text layer: 3 pages \(1-3\) of pictures"):
        extract("a.pdf", pdf.bytes())


def attached(pdf: Pdf, name: str, data: bytes) -> int:
    file = pdf.add(stream(data, b"/Type/EmbeddedFile"))
    return pdf.add(
        b"<</Type/Filespec/F(%b)/UF(%b)/EF<</F %d 0 R>>>>" % (name.encode(), name.encode(), file)
    )


def test_files_in_a_pdf_are_its_members(tmp_path: Path, qrank: Callable[..., Run]) -> None:
    inner = Pdf()
    inner.page()
    inner.page(text((50, 700, "An inner goshawk")))
    pdf = Pdf()
    files = {
        "notes.md": b"# On birds\n\nA harrier was seen.\n",
        "inner.pdf": inner.bytes(info=b"/Title(The inner one)"),
        "logo.png": b"\x89PNG\r\n\x1a\n\0\0",
        "id_rsa": b"-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n",
        "broken.pdf": b"%PDF-1.7\nno more of it",
    }
    specs = [(name, attached(pdf, name, data)) for name, data in files.items()]
    pinned = attached(pdf, "pinned.txt", b"A hobby was pinned here.\n")
    pin = b"<</Type/Annot/Subtype/FileAttachment/Rect[0 0 9 9]/FS %d 0 R/Contents(See the file)>>"
    pdf.annotated_page(text((50, 700, "The outer kestrel")), [pin % pinned])
    names = b"".join(b"(%b)%d 0 R" % (name.encode(), number) for name, number in sorted(specs))
    (tmp_path / "a.pdf").write_bytes(pdf.bytes(b"/Names<</EmbeddedFiles<</Names[%b]>>>>" % names))
    run = qrank("index", ".", "--no-embed", "--json", QRANK_DB="t.db")
    assert run.json()["files"]["added"] == 1
    [problem] = run.json()["errors"]
    assert problem["partly"]
    assert "logo.png: binary file" in problem["reason"]
    assert "id_rsa: an SSH key" in problem["reason"]
    assert "broken.pdf: truncated at byte 22" in problem["reason"]
    assert "inner.pdf: 1 page (1) without text" in problem["reason"]

    def found(word: str) -> dict[str, Any]:
        words = ("search", word, "--mode", "bm25", "--jsonl")
        [result] = qrank(*words, QRANK_DB="t.db").lines()
        assert result["path"] == str(tmp_path / "a.pdf")
        return result

    assert found("kestrel")["member"] is None
    assert (found("harrier")["member"], found("harrier")["title"]) == ("notes.md", "On birds")
    assert (found("harrier")["start_line"], found("harrier")["heading"]) == (1, "On birds")
    assert (found("goshawk")["member"], found("goshawk")["title"]) == ("inner.pdf", "The inner one")
    assert found("goshawk")["page"] == 2
    assert found("hobby")["member"] == "pinned.txt"
    said = qrank("search", "harrier", "--mode", "bm25", QRANK_DB="t.db").stdout
    assert "a.pdf!/notes.md:1" in said
    assert (
        qrank("index", ".", "--no-embed", "--json", QRANK_DB="t.db").json()["files"]["unchanged"]
        == 1
    )
    assert qrank("status", "--json", QRANK_DB="t.db").json()["files"] == 1
    only = ("search", "harrier", "--mode", "bm25", "-l", "--path")
    for glob in ("*.md", "a.pdf!/notes.md", "a.pdf", str(tmp_path / "a.pdf!" / "*")):
        assert qrank(*only, glob, QRANK_DB="t.db").stdout.strip().endswith("a.pdf!/notes.md")
    assert qrank(*only, "*.txt", QRANK_DB="t.db").returncode == 1
    like = qrank(
        "similar", f"{tmp_path}/a.pdf!/notes.md", "--mode", "bm25", "--json", QRANK_DB="t.db"
    )
    assert "notes.md" not in [result["member"] for result in like.json()["results"]]
    (tmp_path / "copy.db").touch()
    lines = qrank("export", QRANK_DB="t.db").stdout
    assert qrank("import", "-", stdin=lines, QRANK_DB="copy.db").returncode == 0
    moved = qrank("search", "harrier", "--mode", "bm25", "--jsonl", QRANK_DB="copy.db").lines()
    assert [result["member"] for result in moved] == ["notes.md"]
    (tmp_path / "a.pdf").unlink()
    (tmp_path / "b.txt").write_text("Nothing of the kind.\n", "utf-8")
    assert (
        qrank("index", ".", "--no-embed", "--json", QRANK_DB="t.db").json()["files"]["removed"] == 1
    )
    assert qrank("search", "harrier", "--mode", "bm25", QRANK_DB="t.db").returncode == 1


def test_a_pdf_that_only_its_owner_may_change_is_read() -> None:
    document = extract("a.pdf", (FILES / "owner.pdf").read_bytes())
    assert "A stuck brass valve" in document.text
    assert document.title == "Water works"


@pytest.mark.parametrize("name", ["empty_owner.pdf", "empty_owner_5.pdf"])
def test_a_pdf_with_an_empty_owner_password_is_read(name: str) -> None:
    data = (FILES / name).read_bytes()
    assert "A stuck brass valve" in extract("a.pdf", data).text

    def literal(match: re.Match[bytes]) -> bytes:
        """The same string in parentheses, some of it escaped as octal digits."""
        value = re.sub(rb"([()\\\r])", rb"\\\1", bytes.fromhex(match[2].decode()))
        value = value.replace(b"\\\r", b"\\015").replace(value[-1:], b"\\%03o" % value[-1], 1)
        return b"%b(%b)" % (match[1], value) + b" " * (len(match[2]) - len(value))

    written = re.sub(rb"(/(?:OE?|UE?) )<([0-9a-f]+)>", literal, data)
    assert len(written) == len(data)
    assert "A stuck brass valve" in extract("a.pdf", written).text


def test_a_pdf_that_takes_a_password_or_a_certificate_is_called_encrypted() -> None:
    locked = (FILES / "locked.pdf").read_bytes()
    assert b"/Filter /Standard" in locked
    other = (FILES / "empty_owner.pdf").read_bytes()
    changed = re.sub(rb"(/O <)..", rb"\g<1>00", other)
    certificates = locked.replace(b"/Filter /Standard", b"/Filter /AdbPbSec")
    for data in (locked, certificates, changed, other.replace(b"/UE", b"/XX")):
        with pytest.raises(ExtractError, match=r"^encrypted$"):
            extract("a.pdf", data)


def test_what_is_left_of_a_pdf_that_is_cut_off_is_read() -> None:
    data = (FILES / "reportlab.pdf").read_bytes()
    at = data.index(b"xref\n")
    document = extract("a.pdf", data[:at])
    assert "The garden pump" in document.text
    assert "Drain every pipe" in document.text
    assert document.note == f"truncated at byte {at}"
    for size in range(50, len(data), 97):  # wherever it ends
        try:
            note = extract("a.pdf", data[:size]).note
        except (ExtractError, NoTextError) as error:
            note = str(error)
        assert f"truncated at byte {size}" in note or size > at
    locked = (FILES / "owner.pdf").read_bytes()
    locked = locked[: locked.index(b"xref\n")]
    with pytest.raises(ExtractError, match=f"^truncated at byte {len(locked)}$"):
        extract("a.pdf", locked)


def packed(*objects: tuple[int, bytes]) -> bytes:
    """Objects that are compressed together (ISO 32000-1, 7.5.7)."""
    places, held = [], b""
    for number, body in objects:
        places.append(b"%d %d" % (number, len(held)))
        held += body + b"\n"
    head = b" ".join(places) + b"\n"
    entries = b"/Type/ObjStm/N %d/First %d/Filter/FlateDecode" % (len(objects), len(head))
    return stream(zlib.compress(head + held), entries)


@pytest.mark.parametrize("how", ["no catalogue", "no page tree", "packed", "cut in its catalogue"])
def test_pages_are_read_whatever_of_a_pdf_is_cut(how: str) -> None:
    """The document's own object stands at the end of many files, or compressed with others."""
    pdf = Pdf()
    for word in ("kestrel", "merlin", "hobby"):
        pdf.page(text((50, 700, f"The {word}")))
    whole = pdf.bytes()
    body = whole[: whole.index(b"\nxref\n")]
    first, pages, rest = re.split(rb"(?<=endobj\n)", body, maxsplit=2)
    head, catalog = first[: first.index(b"1 0 obj")], first[first.index(b"1 0 obj") :]
    together = packed((1, bare(catalog)), (2, bare(pages)))
    cut = {
        "no catalogue": head + rest + pages,
        "no page tree": head + catalog + rest,
        "packed": head + rest + b"99 0 obj\n%b\nendobj\n" % together,
        "cut in its catalogue": head + rest + pages + catalog[:-20],
    }[how]
    made = extract("a.pdf", cut)
    assert made.text.split("\n\n") == ["The kestrel", "The merlin", "The hobby"]
    assert made.note == f"truncated at byte {len(cut)}"


def bare(written: bytes) -> bytes:
    """What an object holds."""
    return written.partition(b"obj\n")[2].rpartition(b"endobj")[0]


def test_an_end_that_is_not_the_files_own_is_none() -> None:
    """Changes are written behind a file's end; files for the web have one at their beginning."""
    pdf = Pdf()
    pdf.page(text((50, 700, "The kestrel")))
    whole = pdf.bytes()
    changed = whole + b"9 0 obj\n<</Type/Page/Parent 2 0 R/Contents 4"
    body = whole[len(b"%PDF-1.7\n") : whole.index(b"xref\n")]
    web = b"%%PDF-1.7\n9 0 obj\n<</Linearized 1/L %d/O 5>>\nendobj\n" % (2 * len(whole))
    web += b"xref\n0 0\ntrailer<</Root 1 0 R>>\nstartxref\n0\n%%EOF\n" + body
    for data in (changed, web):
        made = extract("a.pdf", data)
        assert (made.text, made.note) == ("The kestrel", f"truncated at byte {len(data)}")
    for behind in (b"", b"\0" * 5000, b"\n" * 3000):
        assert extract("a.pdf", whole + behind).note == ""
