"""Spreadsheets: cells, comments, drawings, headers and footers."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from office_files import (
    SPACES,
    chart,
    core,
    docx,
    office,
    paragraph,
    part,
    relations,
    strict,
    zipped,
)

from qrank.ingest.extract import documents
from qrank.ingest.extract.office import sparse
from qrank.ingest.extract.office.package import Package

FILES = Path(__file__).parent / "files"
SHAPE = (
    '<xdr:twoCellAnchor><xdr:sp><xdr:nvSpPr><xdr:cNvPr id="1" name="n" descr="{}"/></xdr:nvSpPr>'
    "<xdr:txBody><a:p><a:r><a:t>dra</a:t></a:r><a:r><a:t>wn</a:t></a:r></a:p></xdr:txBody></xdr:sp>"
    "</xdr:twoCellAnchor><xdr:twoCellAnchor><xdr:graphicFrame><a:graphic><a:graphicData>"
    '<c:chart r:id="rId1"/></a:graphicData></a:graphic></xdr:graphicFrame></xdr:twoCellAnchor>'
)
STYLES = (
    '<x:numFmts><x:numFmt numFmtId="164" formatCode="yyyy&quot;m&quot;"/><x:numFmt numFmtId="165"'
    ' formatCode="0&quot; days&quot;"/></x:numFmts><x:cellXfs><x:xf numFmtId="0"/>'
    '<x:xf numFmtId="14"/><x:xf numFmtId="164"/><x:xf numFmtId="165"/></x:cellXfs>'
)
STRINGS = (
    "<x:si><x:t>shared</x:t></x:si><x:si><x:r><x:t>ri</x:t></x:r><x:r><x:rPr/><x:t>ch</x:t></x:r>"
    "<x:rPh><x:t>gone</x:t></x:rPh></x:si>"
)


def sheet(cells: str, after: str = "") -> str:
    return part("x:worksheet", f"<x:sheetData>{cells}</x:sheetData>{after}")


def row(number: int, **cells: object) -> str:
    """A row of cells by their columns: texts or numbers."""
    made = "".join(
        f'<x:c r="{column}{number}"><x:v>{value}</x:v></x:c>'
        if isinstance(value, int)
        else f'<x:c r="{column}{number}" t="inlineStr"><x:is><x:t>{value}</x:t></x:is></x:c>'
        for column, value in cells.items()
    )
    return f'<x:row r="{number}">{made}</x:row>'


def xlsx(*sheets: str, parts: dict[str, str | bytes] | None = None, **related: str) -> bytes:
    """A workbook; related: of the first sheet: what by kind, targets apart by blanks."""
    count = len(sheets)
    names = "".join(
        f'<x:sheet name="Sheet {i}" sheetId="{i}" r:id="rId{i}" state="{state}"/>'
        for i, state in zip(range(1, count + 1), ("visible", "hidden", "veryHidden"), strict=False)
    )
    named = [("worksheet", f"worksheets/sheet{i}.xml") for i in range(1, count + 1)]
    held: dict[str, str | bytes] = {
        f"xl/worksheets/sheet{i}.xml": each for i, each in enumerate(sheets, 1)
    }
    held["xl/worksheets/_rels/sheet1.xml.rels"] = relations(
        *[(kind, each) for kind, targets in related.items() for each in targets.split()]
    )
    held["xl/styles.xml"] = part("x:styleSheet", STYLES)
    held["xl/sharedStrings.xml"] = part("x:sst", STRINGS)
    main = part("x:workbook", f"<x:sheets>{names}</x:sheets>")
    more = (("styles", "styles.xml"), ("sharedStrings", "sharedStrings.xml"))
    return zipped(office("xl/workbook.xml", main, {**held, **(parts or {})}, *named, *more))


def found(data: bytes, name: str = "a.xlsx") -> list[tuple[int | None, str]]:
    return [
        (block.page, document.text[block.start : block.end])
        for document in documents(io.BytesIO(data), name)
        for block in document.blocks
    ]


def note(data: bytes) -> str:
    return [*documents(io.BytesIO(data), "a.xlsx")][-1].note


@pytest.mark.parametrize("place", ["XFD1", "XFD2000", "Z1048576", "XFD1048576", "A1048576"])
def test_a_stray_cell_far_away_costs_nothing(place: str) -> None:
    column, number = place.rstrip("0123456789"), int(place.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    first, stray = {"A": "kestrel"}, {column: "stray"}
    cells = row(1, **first, **stray) if number == 1 else row(1, **first) + row(number, **stray)
    plain = sheet(cells).replace("<x:", "<").replace("</x:", "</").replace("xmlns:x=", "xmlns=")
    for made in (sheet(cells), plain):
        texts = [text for _, text in found(xlsx(made))]
        assert " ".join(texts).replace("|", " ").split() == ["kestrel", "stray"]
        assert sum(map(len, texts)) < 40


def test_strict_and_damaged_workbooks_are_read() -> None:
    date = '<x:row r="2"><x:c r="A2" s="1" t="d"><x:v>2024-05-01T00:00:00</x:v></x:c></x:row>'
    data = xlsx(sheet(row(1, A="one") + date), sheet(row(1, A="hidden")))
    for made in (data, strict(data)):
        texts = found(made)
        assert texts[0] == (1, "one")
        assert texts[1][1].startswith("2024-05-01")
        assert texts[2] == (2, "hidden")
    broken = sheet(row(1, A="first") + row(2, A="second"))
    data = xlsx(broken[: broken.index("second")], sheet(row(1, A="other")))
    assert [text for _, text in found(data)][:1] == ["first"]
    assert found(data)[-1] == (2, "other")
    data = xlsx(sheet(row(1, A="one")), "", sheet(row(1, A="three")))
    assert found(data) == [(1, "one"), (3, "three")]
    assert note(data) == "xl/worksheets/sheet2.xml (damaged)"


def test_every_kind_of_cell_is_read_the_same_by_both_readers() -> None:
    cells = (
        '<x:row r="1"><x:c r="A1" t="s"><x:v>0</x:v></x:c><x:c r="B1" t="s"><x:v>1</x:v></x:c>'
        '<x:c r="C1" t="b"><x:v>1</x:v></x:c><x:c r="D1" t="str"><x:f>A1</x:f><x:v>formula</x:v>'
        '</x:c><x:c r="E1"><x:v>40</x:v></x:c><x:c r="F1"><x:v>0.30000000000000004</x:v></x:c>'
        '<x:c r="G1" s="1"><x:v>45414</x:v></x:c><x:c r="H1" s="2"><x:v>45414.5</x:v></x:c>'
        '<x:c r="I1" s="3"><x:v>7</x:v></x:c><x:c r="J1" t="inlineStr"><x:is><x:r><x:t>in</x:t>'
        "</x:r><x:r><x:t>line</x:t></x:r></x:is></x:c><x:c><x:v>8</x:v></x:c></x:row>"
    )
    wanted = "shared | rich | TRUE | formula | 40 | 0.3 | 2024-05-02 | 2024-05-02 12:00:00 | 7"
    wanted += " | inline | 8"
    assert found(xlsx(sheet(cells))) == [(1, wanted)]
    far = cells + row(1_048_576, XFD="stray")
    assert found(xlsx(sheet(far))) == [(1, wanted), (1, " | stray")]


def test_the_own_reader_finds_what_calamine_finds_in_a_real_file() -> None:
    data = (FILES / "water.xlsx").read_bytes()
    package = Package(io.BytesIO(data))
    own = sparse.Sheets(
        package, package.root("xl/workbook.xml"), "xl/sharedStrings.xml", "xl/styles.xml"
    )
    for number in (1, 2, 3):
        rows = [" | ".join(r) for r in own.rows(f"xl/worksheets/sheet{number}.xml")]
        assert rows == [text for page, text in found(data) if page == number]


def test_comments_shapes_charts_controls_files_and_page_headers() -> None:
    comments = part(
        "x:comments",
        "<x:authors><x:author>Ada</x:author><x:author>tc={1}</x:author></x:authors><x:commentList>"
        '<x:comment ref="A1" authorId="0"><x:text><x:r><x:t>old </x:t></x:r><x:r><x:t>comment</x:t>'
        '</x:r></x:text></x:comment><x:comment ref="A2" authorId="1"><x:text><x:t>[Threaded '
        "comment] thread</x:t></x:text></x:comment></x:commentList>",
    )
    threads = (
        '<ThreadedComments xmlns="http://schemas.microsoft.com/office/spreadsheetml/2018/'
        'threadedcomments"><threadedComment ref="A2"><text>thread</text></threadedComment>'
        '<threadedComment ref="A2"><text>reply</text></threadedComment></ThreadedComments>'
    )
    controls = (
        f'<xml xmlns:v="{SPACES["v"]}" xmlns:x="urn:schemas-microsoft-com:office:excel"><v:shape>'
        "<v:textbox><div><font>Press</font> me</div></v:textbox>"
        '<x:ClientData ObjectType="Button"/></v:shape><v:shape><v:textbox><div>gone</div>'
        '</v:textbox><x:ClientData ObjectType="Note"/></v:shape></xml>'
    )
    header = (
        '<x:headerFooter><x:oddHeader>&amp;L&amp;"Arial,Bold"Case &amp;14ZQ&amp;CA &amp;&amp; B'
        "&amp;RPage &amp;P</x:oddHeader></x:headerFooter>"
    )
    parts: dict[str, str | bytes] = {
        "xl/comments1.xml": comments, "xl/threadedComments/t.xml": threads,
        "xl/drawings/d.xml": part("xdr:wsDr", SHAPE.format("described")),
        "xl/drawings/_rels/d.xml.rels": relations(("chart", "../charts/c.xml")),
        "xl/charts/c.xml": chart(), "xl/drawings/v.vml": controls,
        "xl/embeddings/a.docx": docx(paragraph("inner")),
        "docProps/core.xml": core("Birds", "Ada Quince"),
    }  # fmt: skip
    related = {
        "comments": "../comments1.xml", "threadedComment": "../threadedComments/t.xml",
        "drawing": "../drawings/d.xml", "vmlDrawing": "../drawings/v.vml",
        "package": "../embeddings/a.docx",
    }  # fmt: skip
    sheets = [sheet(row(1, A="cell"), header), sheet(row(1, A="other"), header)]
    data = xlsx(*sheets, parts=parts, **related)
    for made in (data, strict(data)):
        assert found(made) == [
            (1, "cell"), (1, "old comment"), (1, "thread"), (1, "reply"), (1, "drawn"),
            (1, "described"), (1, "Migration counts"),
            (1, "Plover | Dotterel\nSpring | 4.3 | 12\nAutumn | 7 | 0.5"),
            (1, "Press me"), (1, "Case ZQ A & B Page"), (2, "other"), (None, "inner"),
        ]  # fmt: skip
        first = next(iter(documents(io.BytesIO(made), "a.xlsx")))
        assert (first.title, first.fields) == ("Birds", {"author": "Ada Quince"})


def record(kind: int, data: bytes = b"") -> bytes:
    """A record of a binary part."""
    name = bytes([kind]) if kind < 128 else bytes([kind & 0x7F | 0x80, kind >> 7])
    return name + bytes([len(data) & 0x7F | 0x80, len(data) >> 7]) + data


def wide(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def test_comments_and_shapes_of_binary_workbooks() -> None:
    book = record(131) + record(143)
    book += record(156, bytes(8) + wide("rId1") + wide("Żuraw")) + record(144) + record(132)
    cell = struct.pack("<II", 0, 0) + wide("cell")
    rows = record(0, struct.pack("<IIHBBBI", 0, 0, 0, 0, 0, 0, 0)) + record(6, cell)
    cells = record(129) + record(148, bytes(16)) + record(145) + rows + record(146) + record(130)
    said = record(637, b"\0" + wide("On dunlins")) + record(637, b"\1" + wide("x" * 200))
    parts: dict[str, str | bytes] = {
        "xl/worksheets/sheet1.bin": cells, "xl/comments1.bin": record(628) + said + record(629),
        "xl/worksheets/_rels/sheet1.bin.rels": relations(
            ("comments", "../comments1.bin"), ("drawing", "../drawings/d.xml")),
        "xl/drawings/d.xml": part("xdr:wsDr", SHAPE.format("described")),
    }  # fmt: skip
    made = zipped(
        {"_rels/.rels": relations(("officeDocument", "xl/workbook.bin"))}
        | {"xl/workbook.bin": book}
        | {"xl/_rels/workbook.bin.rels": relations(("worksheet", "worksheets/sheet1.bin"))}
        | parts
    )
    [sheet, *_] = documents(io.BytesIO(made), "a.xlsb")
    assert sheet.text.split("\n\n") == ["cell", "On dunlins", "x" * 200, "drawn", "described"]
    assert sheet.blocks[0].heading == ("Żuraw",)


def test_comments_and_shapes_of_workbooks_of_before_2007() -> None:
    """Written by LibreOffice; one is so long that it takes several records."""
    first, second = documents(io.BytesIO((FILES / "comments.xls").read_bytes()), "a.xls")
    assert first.text.split("\n\n") == [
        "cell one | five", "Page", "A comment on dunlins\nsecond line", "żółw comment",
    ]  # fmt: skip
    assert second.text.split("\n\n") == ["other", "Z" * 9000 + " end", "In a text box"]


def test_charts_and_page_headers_of_workbooks_of_before_2007() -> None:
    """Written by LibreOffice; of the headers each is read once."""
    first, second = documents(io.BytesIO((FILES / "charts.xls").read_bytes()), "a.xls")
    assert set(first.text.split("\n\n")) == {
        "kestrel | 3", "Case ZQ-4711", "Page", "Tides of the żuraw",
    }  # fmt: skip
    assert second.text.split("\n\n") == ["kestrel | 3", "Winds of the żuraw"]


EXCEL_2003 = (
    '<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet" '
    'xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet"><Worksheet ss:Name="S"><Table><Row>'
    '<Cell><Data ss:Type="String">tea</Data></Cell><Cell ss:Formula="=CONCAT(1,2)"/>'
    '<Cell ss:Formula="=X()"><Data ss:Type="String"></Data></Cell></Row></Table></Worksheet>'
    "</Workbook>"
)
SHEET_OF_CALC = (
    '<?xml version="1.0"?><office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:'
    'office:1.0" xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:text="urn:'
    'oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet><table:table '
    'table:name="S"><table:table-row><table:table-cell><text:p>tea</text:p></table:table-cell>'
    '<table:table-cell table:formula="of:=CONCAT(1,2)"/><table:table-cell table:formula="of:=X()" '
    'office:value-type="string" office:string-value=""/></table:table-row></table:table>'
    "</office:spreadsheet></office:body></office:document>"
)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (
            "a.xlsx",
            xlsx(
                sheet(
                    '<x:row r="1"><x:c r="A1" t="inlineStr"><x:is><x:t>tea</x:t></x:is></x:c>'
                    '<x:c r="B1"><x:f>_xlfn.CONCAT(1,2)</x:f><x:v></x:v></x:c>'
                    '<x:c r="C1" t="str"><x:f>X()</x:f><x:v></x:v></x:c></x:row>'
                )
            ),
        ),
        ("a.xml", EXCEL_2003.encode()),
        ("a.fods", SHEET_OF_CALC.encode()),
    ],
)
def test_formulas_without_values_are_read_as_written_and_counted(name: str, data: bytes) -> None:
    """Programs that do not calculate write such; the value of C1 is a text that is empty."""
    made = list(documents(io.BytesIO(data), name))
    assert made[0].text == "tea | =CONCAT(1,2)"
    assert made[-1].note.startswith("1 formula without a stored value, read as written (")


def test_values_of_formulas_need_no_note() -> None:
    cell = '<x:row r="1"><x:c r="A1"><x:f>1+1</x:f><x:v>2</x:v></x:c></x:row>'
    [made] = documents(io.BytesIO(xlsx(sheet(cell))), "a.xlsx")
    assert (made.text, made.note) == ("2", "")


def test_formulas_without_values_in_workbooks_of_before_2007_are_counted() -> None:
    """Written by xlwt."""
    made = list(documents(io.BytesIO((FILES / "formulas.xls").read_bytes()), "a.xls"))
    assert made[0].text == "Tea"
    assert made[-1].note.startswith("2 formulas without stored values (")
