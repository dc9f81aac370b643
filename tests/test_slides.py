"""Presentations: each word on a slide or in its notes is found, and found once."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from office_files import chart, core, diagram, docx, office, part, relations, strict, zipped
from office_files import paragraph as word_paragraph
from support import Run, extract

from qrank.ingest.extract import documents
from qrank.results import Document

P14 = "http://schemas.microsoft.com/office/powerpoint/2018/8/main"


def p(*runs: str) -> str:
    inner = "".join(each if each[:1] == "<" else f"<a:r><a:t>{each}</a:t></a:r>" for each in runs)
    return f"<a:p><a:pPr/>{inner}<a:endParaRPr/></a:p>"


def shape(content: str, kind: str = "", said: str = "") -> str:
    placeholder = f'<p:ph type="{kind}"/>' if kind else ""
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="1" name="Box" descr="{said}"/><p:nvPr>{placeholder}</p:nvPr>'
        f"</p:nvSpPr><p:txBody><a:bodyPr/><a:lstStyle/>{content}</p:txBody></p:sp>"
    )


def frame(content: str, said: str = "") -> str:
    return (
        f'<p:graphicFrame><p:nvGraphicFramePr><p:cNvPr id="1" name="n" descr="{said}"/>'
        "</p:nvGraphicFramePr><a:graphic><a:graphicData>"
        f"{content}</a:graphicData></a:graphic></p:graphicFrame>"
    )


def slide(content: str, kind: str = "sld") -> str:
    return part(f"p:{kind}", f"<p:cSld><p:spTree><p:nvGrpSpPr/>{content}</p:spTree></p:cSld>")


def pptx(slides: list[str], parts: dict[str, str | bytes], *related: tuple[str, str]) -> bytes:
    """A presentation; related: what each slide is related to, as rId1, rId2, ..."""
    ids = "".join(f'<p:sldId id="{i}" r:id="rId{i}"/>' for i in range(1, len(slides) + 1))
    named = [("slide", f"slides/slide{i}.xml") for i in range(1, len(slides) + 1)]
    held: dict[str, str | bytes] = {}
    for number, content in enumerate(slides, 1):
        held[f"ppt/slides/slide{number}.xml"] = content
        held[f"ppt/slides/_rels/slide{number}.xml.rels"] = relations(*related)
    main = part("p:presentation", f"<p:sldIdLst>{ids}</p:sldIdLst>")
    return zipped(office("ppt/presentation.xml", main, {**held, **parts}, *named))


def both(data: bytes) -> list[Document]:
    """It and its Strict form."""
    return [extract("a.pptx", data), extract("a.pptx", strict(data))]


FILES = Path(__file__).parent / "files"
INLINE = (
    "<a:r>{}</a:r>", "<a:r><a:rPr b='1'><a:hlinkClick r:id='rId9'/></a:rPr>{}</a:r>",
    '<a:fld type="x"><a:rPr/>{}</a:fld>', "<!-- a comment --><a:r>{}</a:r>",
)  # fmt: skip
EQUATION = "<m:oMath><m:r><m:t>beside</m:t></m:r></m:oMath>"
CHARTEX = "http://schemas.microsoft.com/office/drawing/2014/chartex"
BESIDE = {
    "picture": '<p:pic><p:nvPicPr><p:cNvPr id="1" name="n" descr="beside"/></p:nvPicPr></p:pic>',
    "title of a picture": '<p:pic><p:nvPicPr><p:cNvPr id="1" title="beside"/></p:nvPicPr></p:pic>',
    "shape": shape(p("beside")),
    "of a shape": shape("", said="beside"),
    "group": f"<p:grpSp><p:grpSp>{shape(p('beside'))}</p:grpSp></p:grpSp>",
    "of a group": '<p:grpSp><p:nvGrpSpPr><p:cNvPr descr="beside"/></p:nvGrpSpPr></p:grpSp>',
    "table": frame(f"<a:tbl><a:tr><a:tc><a:txBody>{p('beside')}</a:txBody></a:tc></a:tr></a:tbl>"),
    "of a frame": frame("", "beside"),
    "alternatives": f'<mc:AlternateContent><mc:Choice Requires="x">{shape(p("beside"))}</mc:Choice>'
    f"<mc:Fallback>{shape(p('beside'))}</mc:Fallback></mc:AlternateContent>",
    "equation": "<mc:AlternateContent><mc:Choice Requires='a14'>"
    + shape(p(f"<a14:m><m:oMathPara>{EQUATION}</m:oMathPara></a14:m>"))
    + f"</mc:Choice><mc:Fallback>{shape(p(' '))}</mc:Fallback></mc:AlternateContent>",
    "diagram": frame('<dgm:relIds r:dm="rId1"/>'),
    "chart": frame('<c:chart r:id="rId2"/>'),
    "newer chart": "<mc:AlternateContent><mc:Choice Requires='cx'>"
    + frame(f'<cx:chart xmlns:cx="{CHARTEX}" r:id="rId3"/>')
    + "</mc:Choice><mc:Fallback><p:pic/></mc:Fallback></mc:AlternateContent>",
    "connector": '<p:cxnSp><p:nvCxnSpPr><p:cNvPr id="1" descr="beside"/></p:nvCxnSpPr></p:cxnSp>',
}  # fmt: skip
PARTS: dict[str, str | bytes] = {
    "ppt/data.xml": part("dgm:dataModel", f"<dgm:pt><dgm:t>{p('beside')}</dgm:t></dgm:pt>"),
    "ppt/chart.xml": part("c:chartSpace", f"<c:title><c:rich>{p('beside')}</c:rich></c:title>"),
    "ppt/newer.xml": '<cx:chartSpace xmlns:cx="http://schemas.microsoft.com/office/drawing/2014/'
    'chartex"><cx:data><cx:strDim><cx:lvl><cx:pt>beside</cx:pt></cx:lvl></cx:strDim></cx:data>'
    "</cx:chartSpace>",
}  # fmt: skip
RELATED = (
    ("diagramData", "../data.xml"), ("chart", "../chart.xml"), ("chartEx", "/ppt/newer.xml"),
)  # fmt: skip


@pytest.mark.parametrize("around", INLINE)
def test_a_word_in_several_runs_is_one_word(around: str) -> None:
    inner = p("Zitter", around.format("<a:t>beweg</a:t>"), "ung")
    for document in both(pptx([slide(shape(inner))], {})):
        assert document.text == "Zitterbewegung"


@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE.keys())
def test_what_is_beside_a_shape_is_read_once_and_apart_from_it(beside: str) -> None:
    content = slide(shape(p("one")) + beside + shape(p("two")))
    for document in both(pptx([content], PARTS, *RELATED)):
        assert document.text.split("\n\n") == ["one", "beside", "two"]


def test_titles_notes_and_comments_of_slides() -> None:
    notes = slide(
        shape("", "sldImg") + shape(p("noted"), "body") + shape(p("3"), "sldNum"), "notes"
    )
    older = part("p:cmLst", "<p:cm><p:text>older comment</p:text></p:cm>")
    newer = part(
        "p:cmLst", f"<p:cm><p:reply><p:txBody>{p('reply')}</p:txBody></p:reply><p:txBody>"
        f"{p('newer ', 'comment')}</p:txBody></p:cm>",
    )  # fmt: skip
    parts: dict[str, str | bytes] = {
        "ppt/notes.xml": notes, "ppt/older.xml": older, "ppt/newer.xml": newer
    }  # fmt: skip
    related = (("notesSlide", "../notes.xml"), ("comments", "../older.xml"))
    first = slide(shape(p("body"), "body") + shape(p("Waders"), "title"))
    for document in both(pptx([first], parts, *related, ("comments", "../newer.xml"))):
        assert document.text.split("\n\n") == [
            *("body", "# Waders", "noted", "older comment", "reply", "newer comment"),
        ]
        assert document.title == "Waders"
        assert {block.page for block in document.blocks} == {1}


def test_what_slides_repeat_comes_once() -> None:
    repeated = shape(p("Confidential"), "ftr") + shape(p("2024"), "dt") + shape(p("1"), "sldNum")
    layout = slide(shape(p("Click to edit"), "body") + shape(p("Heron")), "sldLayout")
    parts: dict[str, str | bytes] = {
        "ppt/slideLayouts/a.xml": layout,
        "ppt/slideLayouts/_rels/a.xml.rels": relations(("slideMaster", "../m.xml")),
        "ppt/m.xml": slide(shape(p("Drawn on the master")), "sldMaster"),
    }
    slides = [slide(shape(p(f"body {i}")) + repeated) for i in range(1, 4)]
    for document in both(pptx(slides, parts, ("slideLayout", "../slideLayouts/a.xml"))):
        assert document.text.split("\n\n") == [
            *("body 1", "body 2", "body 3", "Confidential", "Heron", "Drawn on the master"),
        ]


def test_charts_diagrams_and_files_of_a_slide() -> None:
    inner = docx(word_paragraph("inner"))
    content = slide(
        frame('<c:chart r:id="rId1"/>')
        + frame('<dgm:relIds r:dm="rId2"/>')
        + frame('<p:oleObj r:id="rId3" progId="Word.Document.12"/>')
    )
    parts: dict[str, str | bytes] = {
        "ppt/chart.xml": chart(), "ppt/data.xml": diagram(), "ppt/embeddings/a.docx": inner,
        "docProps/core.xml": core("Birds", "Ada Quince"),
    }  # fmt: skip
    related = (("chart", "../chart.xml"), ("diagramData", "../data.xml"))
    data = pptx([content], parts, *related, ("package", "../embeddings/a.docx"))
    for made in (data, strict(data)):
        document, file = documents(io.BytesIO(made), "a.pptx")
        assert (file.member, file.text) == ("a.docx", "inner")
        assert document.text.split("\n\n") == [
            "Migration counts",
            "Plover | Dotterel\nSpring | 4.3 | 12\nAutumn | 7 | 0.5",
            "Hatching\nFledging",
        ]
        assert (document.title, document.fields) == ("Birds", {"author": "Ada Quince"})


@pytest.mark.parametrize("name", ["water.pptx", "water.odp", "water.ods"])
def test_a_hit_says_its_slide_or_sheet(
    name: str, tmp_path: Path, qrank: Callable[..., Run]
) -> None:
    (tmp_path / name).write_bytes((FILES / name).read_bytes())
    label = f"({'sheet' if name == 'water.ods' else 'slide'} 2)"
    assert label in qrank("chunks", name).stdout
    qrank("index", name, "--no-embed", QRANK_DB="i.db")
    [hit] = [
        line for line in qrank("search", "stuck brass valve", "--mode", "bm25", QRANK_DB="i.db")
        .stdout.split("\n") if name in line and "2)" in line
    ]  # fmt: skip
    place = hit[hit.index(name) : hit.index(label) + len(label)]
    assert "vinegar" in qrank("get", place, QRANK_DB="i.db").stdout


def test_a_damaged_slide_costs_itself() -> None:
    data = pptx([slide(shape(p("one"))), "", slide(shape(p("three")))], {}, ("image", "NULL"))
    document = extract("a.pptx", data)
    assert document.text.split("\n\n") == ["one", "three"]
    assert [block.page for block in document.blocks] == [1, 3]
    assert document.note == "ppt/slides/slide2.xml (damaged)"


def test_slides_that_the_presentation_does_not_name_are_read_in_order() -> None:
    slides = [slide(shape(p(f"body {i}"))) for i in range(1, 12)]
    parts: dict[str, str | bytes] = {"ppt/_rels/presentation.xml.rels": ""}
    document = extract("a.pptx", pptx(slides, parts))
    assert document.text.split("\n\n") == [f"body {i}" for i in range(1, 12)]
