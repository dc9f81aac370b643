"""Word documents: each visible word is found, separate from its neighbours; broken parts are
skipped."""

from __future__ import annotations

import io

import pytest
from office_files import (
    SPACES,
    box,
    chart,
    core,
    diagram,
    docx,
    drawing,
    paragraph,
    part,
    run,
    strict,
    table,
    zipped,
)
from support import extract

from qrank.ingest.extract import documents

STYLES = part(
    "w:styles",
    '<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>'
    '<w:style w:type="paragraph" w:styleId="Corp"><w:name w:val="House"/>'
    '<w:basedOn w:val="Heading1"/></w:style>'
    '<w:style w:type="paragraph" w:styleId="Otsikko"><w:name w:val="Otsikko"/><w:pPr>'
    '<w:outlineLvl w:val="1"/></w:pPr></w:style>'
    '<w:style w:type="paragraph" w:styleId="Plain"><w:name w:val="Plain"/>'
    '<w:basedOn w:val="Corp"/><w:pPr><w:outlineLvl w:val="9"/></w:pPr></w:style>',
)
# What may stand around runs within a paragraph, and leaves their words as they are.
INLINE = (
    "<w:r>{}</w:r>", "<w:hyperlink>{}</w:hyperlink>", "<w:ins>{}</w:ins>",
    "<w:moveTo>{}</w:moveTo>", "<w:smartTag><w:smartTagPr/>{}</w:smartTag>",
    "<w:customXml><w:customXmlPr/>{}</w:customXml>",
    "<w:sdt><w:sdtPr><w:alias w:val='x'/></w:sdtPr><w:sdtContent>{}</w:sdtContent></w:sdt>",
    '<w:fldSimple w:instr="REF a">{}</w:fldSimple>', "<w:dir>{}</w:dir>", "<w:bdo>{}</w:bdo>",
    '<w:bookmarkStart w:id="1" w:name="b"/>{}<w:bookmarkEnd w:id="1"/>',
    '<w:commentRangeStart w:id="1"/>{}<w:commentRangeEnd w:id="1"/>',
    '<w:r><w:fldChar w:fldCharType="begin"/><w:instrText>HYPERLINK x</w:instrText>'
    '<w:fldChar w:fldCharType="separate"/></w:r>{}<w:r><w:fldChar w:fldCharType="end"/></w:r>',
    "<w:proofErr w:type='spellStart'/>{}", '<w:permStart w:id="1"/>{}<w:permEnd w:id="1"/>',
    "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del>{}",
    "<w:moveFrom><w:r><w:t>gone</w:t></w:r></w:moveFrom>{}", "<w:r><w:softHyphen/></w:r>{}",
    "<w:r><w:lastRenderedPageBreak/></w:r>{}", '<w:r><w:footnoteReference w:id="9"/></w:r>{}',
    "<w:r><w:rPr><w:b/></w:rPr></w:r>{}", "<!-- a comment -->{}",
    '<w:r><mc:AlternateContent><mc:Choice Requires="a"/></mc:AlternateContent></w:r>{}',
)  # fmt: skip
# What may stand around paragraphs and tables, as blocks of their own.
BLOCK = (
    "{}", "<w:sdt><w:sdtPr/><w:sdtContent>{}</w:sdtContent></w:sdt>",
    "<w:customXml>{}</w:customXml>", "<w:ins>{}</w:ins>", "<w:moveTo>{}</w:moveTo>",
    "<w:sdt><w:sdtContent><w:sdt><w:sdtContent>{}</w:sdtContent></w:sdt></w:sdtContent></w:sdt>",
)  # fmt: skip
# What may stand beside a word in a run or a paragraph, says something, and is no part of it.
BESIDE = {
    "box": box(paragraph("beside")),
    "table in a box": box(table(["beside"])),
    "old box": f"<w:r><w:pict><v:shape><v:textbox><w:txbxContent>{paragraph('beside')}"
    "</w:txbxContent></v:textbox></v:shape></w:pict></w:r>",
    "word art": '<w:r><w:pict><v:shape><v:textpath string="beside"/></v:shape></w:pict></w:r>',
    "old picture": '<w:r><w:pict><v:shape alt="beside"/></w:pict></w:r>',
    "alternative text": drawing("<pic:pic/>", "beside"),
    "of a picture": drawing('<pic:pic><pic:nvPicPr><pic:cNvPr id="1" name="n" descr="beside"/>'
                            "</pic:nvPicPr></pic:pic>"),
    "drawn": drawing("<a:sp><a:txSp><a:txBody><a:p><a:r><a:t>beside</a:t></a:r></a:p></a:txBody>"
                     "</a:txSp></a:sp>"),
    "footnote": '<w:r><w:footnoteReference w:id="1"/></w:r>',
    "endnote": '<w:r><w:endnoteReference w:id="1"/></w:r>',
    "comment": '<w:r><w:commentReference w:id="1"/></w:r>',
    "chart": drawing('<c:chart r:id="rId4"/>'),
    "diagram": drawing('<dgm:relIds r:dm="rId5"/>'),
    "reading": f"<w:r><w:ruby><w:rt>{run('beside')}</w:rt><w:rubyBase/></w:ruby></w:r>",
}  # fmt: skip
NOTE = '<w:{0} w:type="separator" w:id="0"><w:p/></w:{0}><w:{0} w:id="1">{1}</w:{0}>'
PARTS = {
    f"word/{kind}s.xml": part(f"w:{kind}s", NOTE.format(kind, paragraph("beside")))
    for kind in ("footnote", "endnote", "comment")
} | {
    "word/charts/chart1.xml": part(
        "c:chartSpace", "<c:title><a:p><a:r><a:t>beside</a:t></a:r></a:p></c:title>"
    ),
    "word/diagrams/data1.xml": part(
        "dgm:dataModel", "<dgm:pt><dgm:t><a:p><a:r><a:t>beside</a:t></a:r></a:p></dgm:t></dgm:pt>"
    ),
}  # fmt: skip
RELATED = (
    ("footnotes", "footnotes.xml"), ("endnotes", "endnotes.xml"), ("comments", "comments.xml"),
    ("chart", "charts/chart1.xml"), ("diagramData", "/word/diagrams/data1.xml"),
)  # fmt: skip


def blocks(data: bytes) -> list[str]:
    return extract("a.docx", data).text.split("\n\n")


@pytest.mark.parametrize("around", INLINE)
def test_a_word_in_several_runs_is_one_word(around: str) -> None:
    body = paragraph("Zitter", around.format(run("beweg")), "ung")
    assert blocks(docx(body)) == ["Zitterbewegung"]
    assert blocks(docx(table([body, body]))) == ["Zitterbewegung | Zitterbewegung"]


@pytest.mark.parametrize("around", BLOCK)
def test_blocks_are_apart(around: str) -> None:
    body = around.format(paragraph("one")) + around.format(table(["two", "three"]))
    assert blocks(docx(body + around.format(paragraph("four")))) == ["one", "two | three", "four"]


@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE.keys())
def test_what_is_beside_the_text_is_read_once_and_apart_from_it(beside: str) -> None:
    words = (docx(paragraph("ward", beside, "robe"), PARTS, *RELATED),)
    words += (docx(table([paragraph("ward", beside, "robe")]), PARTS, *RELATED),)
    words += (docx(paragraph(box(paragraph("ward", beside, "robe"))), PARTS, *RELATED),)
    for data in (*words, *map(strict, words)):
        found = blocks(data)
        assert "wardrobe" in found
        assert found.index("beside") > found.index("wardrobe")
        unread = sum(name in beside for name in ("footnoteR", "endnoteR", "commentR"))
        assert found.count("beside") == 3 + (not unread)  # the other notes are at the end


@pytest.mark.parametrize("around", BLOCK)
def test_rows_and_cells_in_controls_are_read(around: str) -> None:
    cell = f"<w:tc>{paragraph('Marwood')}</w:tc>"
    row = f"<w:tr><w:tc>{paragraph('Deadline')}</w:tc>{around.format(cell)}</w:tr>"
    assert blocks(docx(f"<w:tbl>{around.format(row)}</w:tbl>")) == ["Deadline | Marwood"]


def test_merged_cells_are_read_as_they_stand() -> None:
    goes_on, two = "<w:tcPr><w:vMerge/></w:tcPr>", '<w:tcPr><w:gridSpan w:val="2"/></w:tcPr>'
    begins = '<w:tcPr><w:vMerge w:val="restart"/></w:tcPr>'
    both = two.replace("</", "<w:vMerge/></")

    def rows(*rows: str) -> str:
        return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"

    def cell(text: str, properties: str = "") -> str:
        return f"<w:tc>{properties}{paragraph(text)}</w:tc>"

    cases = {
        # It goes on from nothing: the row above was deleted.
        rows(cell("gannet", goes_on) + cell("puffin"), cell("", goes_on) + cell("fulmar")):
            "gannet | puffin\ngannet | fulmar",
        # Other borders than the row above.
        rows(cell("a", begins) + cell("b") + cell("c"), cell("x", two) + cell("d", goes_on)):
            "a | b | c\nx | d",
        rows(cell("x", two) + cell("d"), cell("", both) + cell("e")): "x | d\nx | e",
        rows(cell("b"), '<w:trPr><w:gridBefore w:val="1"/></w:trPr>' + cell("", goes_on)): "b",
        # What it hides is read, too.
        rows(cell("top", begins), cell("under", goes_on)): "top\nunder",
        rows("<w:trPr><w:del/></w:trPr>" + cell("gone"), cell("kept")): "kept",
    }  # fmt: skip
    for made, wanted in cases.items():
        assert blocks(docx(paragraph("before") + made + paragraph("after"))) == [
            *("before", wanted, "after"),
        ]


def test_tables_in_tables_are_read() -> None:
    inner = table(["inner", table(["innermost"]) + paragraph("last")])
    data = docx(table([paragraph("one") + inner + paragraph("two"), "three"]))
    assert blocks(data) == ["one two | three", "inner | last", "innermost"]


def test_a_long_cell_is_not_repeated_in_the_thousand_rows_it_spans() -> None:
    merged = '<w:tc><w:tcPr><w:vMerge w:val="{}"/></w:tcPr>{}</w:tc><w:tc><w:p/></w:tc>'
    first = merged.format("restart", paragraph("long " * 10_000))
    rows = [first, *[merged.format("continue", "<w:p/>")] * 1000]
    body = f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"
    assert len(extract("a.docx", docx(body)).text) < 300_000


def test_headings_by_outline_levels_and_the_styles_they_are_based_on() -> None:
    def styled(text: str, properties: str) -> str:
        return f"<w:p><w:pPr>{properties}</w:pPr>{run(text)}</w:p>"

    body = "".join(
        [
            styled("House", '<w:pStyle w:val="Corp"/>'),
            styled("Otsikko", '<w:pStyle w:val="Otsikko"/>'),
            styled("Plain", '<w:pStyle w:val="Plain"/>'),
            styled("Level", '<w:outlineLvl w:val="2"/>'),
            styled("Body", '<w:pStyle w:val="Corp"/><w:outlineLvl w:val="9"/>'),
        ]
    )
    for pack in (bytes, strict):
        document = extract(
            "a.docx", pack(docx(body, {"word/styles.xml": STYLES}, ("styles", "styles.xml")))
        )
        assert document.text.split("\n\n") == [
            *("# House", "## Otsikko", "Plain", "### Level", "Body"),
        ]
        assert document.blocks[-1].heading == ("House", "Otsikko", "Level")
        assert document.title == "House"


@pytest.mark.parametrize("target", ["NULL", "#_top", "media/lost.png", "../../../etc/passwd", ""])
@pytest.mark.parametrize("kind", ["image", "hyperlink", "footnotes", "styles", "header", "chart"])
def test_a_relationship_to_nothing_costs_nothing(kind: str, target: str) -> None:
    data = docx(paragraph("kestrel", drawing('<c:chart r:id="rId1"/>')), {}, (kind, target))
    assert blocks(data) == ["kestrel"]


def test_a_damaged_part_costs_itself_and_is_said() -> None:
    damaged = {"word/footnotes.xml": b"\0\1", "word/styles.xml": "", "word/header1.xml": "nothing"}
    related = (("footnotes", "footnotes.xml"), ("header", "header1.xml"), ("styles", "styles.xml"))
    document = extract("a.docx", docx(paragraph("kestrel"), damaged, *related))
    assert document.text == "kestrel"
    for name in damaged:
        assert f"{name} (damaged)" in document.note


def test_page_headers_come_once_in_a_passage_of_their_own() -> None:
    head = part("w:hdr", paragraph("Case ZQ-4711", box(paragraph("Whimbrel"))))
    parts = {f"word/header{i}.xml": head for i in range(40)}
    parts["word/footer1.xml"] = part("w:ftr", paragraph("Page 1"))
    related = [("header", f"header{i}.xml") for i in range(40)] + [("footer", "footer1.xml")]
    document = extract("a.docx", docx(paragraph("body"), parts, *related))
    assert document.text.split("\n\n") == ["body", "Case ZQ-4711", "Whimbrel", "Page 1"]
    assert [block.part for block in document.blocks] == [0, 1, 1, 1]


def test_notes_follow_the_paragraph_that_refers_to_them() -> None:
    body = paragraph("one", BESIDE["footnote"]) + paragraph("two", BESIDE["comment"])
    assert blocks(docx(body, PARTS, *RELATED)) == ["one", "beside", "two", "beside", "beside"]


def test_the_numbers_of_a_chart_are_a_table() -> None:
    data = docx(
        paragraph("below", drawing('<c:chart r:id="rId1"/>'), drawing('<dgm:relIds r:dm="rId2"/>')),
        {"word/chart.xml": chart(), "word/data.xml": diagram()},
        ("chart", "chart.xml"), ("diagramData", "data.xml"),
    )  # fmt: skip
    assert blocks(data) == [
        "below",
        "Migration counts",
        "Plover | Dotterel\nSpring | 4.3 | 12\nAutumn | 7 | 0.5",
        "Hatching\nFledging",
    ]


def test_equations_keep_their_words_apart() -> None:
    def e(name: str, *inner: tuple[str, str]) -> str:
        parts = "".join(f"<m:{n}><m:r><m:t>{text}</m:t></m:r></m:{n}>" for n, text in inner)
        return f"<m:{name}>{parts}</m:{name}>"

    cases = {
        e("f", ("num", "Ertrag"), ("den", "Kosten")): "Ertrag/Kosten",
        e("sSup", ("e", "x"), ("sup", "2")): "x^2",
        e("sSub", ("e", "v"), ("sub", "max")): "v_max",
        e("rad", ("deg", ""), ("e", "Fläche")): "√(Fläche)",
        e("rad", ("deg", "3"), ("e", "Raum")): "√(3 Raum)",
        e("d", ("e", "alpha"), ("e", "beta")): "(alpha beta)",
        e("func", ("fName", "sin"), ("e", "phi")): "sin phi",
        e("eqArr", ("e", "left"), ("e", "right")): "left right",
        e("r", ("x", "")) + "<m:r><m:t>E=</m:t></m:r><m:r><m:t>mc</m:t></m:r>": "E=mc",
    }
    for made, wanted in cases.items():
        assert blocks(docx(paragraph(f"<m:oMath>{made}</m:oMath>"))) == [wanted]
        body = f"<m:oMathPara><m:oMath>{made}</m:oMath></m:oMathPara>"
        assert blocks(docx(paragraph("see ", body))) == [f"see {wanted}"]
        assert blocks(docx(body)) == [wanted]


def test_signs_fields_and_lists_of_forms() -> None:
    body = paragraph(
        '<w:r><w:sym w:font="Symbol" w:char="F061"/><w:t>-ray</w:t><w:noBreakHyphen/></w:r>',
        '<w:r><w:fldChar><w:ffData><w:ddList><w:result w:val="1"/><w:listEntry w:val="no"/>'
        '<w:listEntry w:val="yes"/></w:ddList></w:ffData></w:fldChar><w:tab/><w:t>end</w:t></w:r>',
    )
    assert blocks(docx(body)) == ["α-ray-yes\tend"]


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("<w:checked/>", "☒"),
        ('<w:default w:val="0"/><w:checked w:val="1"/>', "☒"),
        ('<w:default w:val="1"/>', "☒"),
        ('<w:default w:val="1"/><w:checked w:val="0"/>', "☐"),
        ("", "☐"),
    ],
)
def test_boxes_of_forms_are_shown(state: str, shown: str) -> None:
    box = f"<w:r><w:fldChar><w:ffData><w:checkBox>{state}</w:checkBox></w:ffData></w:fldChar></w:r>"
    assert blocks(docx(paragraph(box, " nests"))) == [f"{shown} nests"]


def test_the_words_that_describe_a_table_are_read() -> None:
    said = '<w:tblPr><w:tblCaption w:val="Nests"/><w:tblDescription w:val="by county"/></w:tblPr>'
    assert blocks(docx(table(["Fife"]).replace("<w:tblPr/>", said))) == [
        *("Fife", "Nests", "by county"),
    ]


def test_files_in_a_document_are_read_under_their_names() -> None:
    inner = docx(paragraph("inner"), {"word/embeddings/deep.docx": docx(paragraph("deep"))})
    data = docx(
        '<w:altChunk r:id="rId1"/>' + paragraph("after")
        + paragraph('<w:r><w:object><o:OLEObject r:id="rId2"/></w:object></w:r>')
        + paragraph('<w:r><w:object><o:OLEObject r:id="rId3"/></w:object></w:r>'),
        {"word/a.html": "<p>in HTML</p>", "word/embeddings/b.docx": inner, "word/c.docx": b"\0no"},
        ("aFChunk", "a.html"), ("package", "embeddings/b.docx"), ("package", "c.docx"),
    )  # fmt: skip
    made = [*documents(io.BytesIO(data), "a.docx")]
    assert [(each.member, each.text) for each in made if each.text] == [
        ("", "in HTML\n\nafter"), ("b.docx", "inner"),
    ]  # fmt: skip
    assert made[-1].note.startswith("c.docx: damaged")


def test_its_properties_are_its_title_and_fields() -> None:
    said = core("Waders", "Ada Quince", "Mudflats", "dunlin; knot")
    for name in ("docProps/core.xml", "other/place.xml"):
        data = docx(paragraph("x"), {name: said})
        if name.startswith("other"):
            listing = (
                '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
                '<Relationship Id="a" Target="other/place.xml" Type="http://schemas.openxmlformats.org/'
                'package/2006/relationships/metadata/core-properties"/></Relationships>'
            )
            data = zipped({
                "word/document.xml": part("w:document", f"<w:body>{paragraph('x')}</w:body>"),
                "_rels/.rels": listing, name: said,
            })  # fmt: skip
        document = extract("a.docx", data)
        assert document.title == "Waders"
        assert document.fields == {
            "author": "Ada Quince", "subject": "Mudflats", "keywords": ["dunlin", "knot"],
        }  # fmt: skip


def test_a_main_part_of_another_name_and_names_in_another_case() -> None:
    main = part("w:document", f"<w:body>{paragraph('kestrel')}</w:body>")
    office = f'xmlns="{SPACES["r"].replace("officeDocument", "package")}"'
    listing = (
        f'<Relationships {office}><Relationship Id="a" Type="{SPACES["r"]}/officeDocument" '
        'Target="/Word/Document2.xml"/></Relationships>'
    )
    assert blocks(zipped({"_rels/.rels": listing, "word/document2.xml": main})) == ["kestrel"]
