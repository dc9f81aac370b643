"""OpenDocument: each visible word is found, separate from its neighbours."""

from __future__ import annotations

import io

import pytest
from office_files import zipped
from support import extract

from qrank.errors import ExtractError
from qrank.ingest.extract import documents

SPACES = {
    "office": "office", "text": "text", "table": "table", "draw": "drawing", "style": "style",
    "svg": "svg-compatible", "presentation": "presentation", "form": "form", "chart": "chart",
    "meta": "meta",
}  # fmt: skip
DECLARED = " ".join(
    f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for prefix, name in SPACES.items()
)
DECLARED += (
    ' xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:dc="http://purl.org/dc/elements/1.1/"'
)
MATH = (
    '<math xmlns="http://www.w3.org/1998/Math/MathML"><semantics><mrow><mfrac><mi>Ertrag</mi>'
    "<mi>Kosten</mi></mfrac></mrow><annotation>Ertrag over Kosten</annotation></semantics></math>"
)
META = (
    "<office:meta><dc:title>Waders</dc:title><meta:initial-creator>Ada Quince"
    "</meta:initial-creator><dc:subject>Mudflats</dc:subject><meta:keyword>dunlin</meta:keyword>"
    "<meta:keyword>knot</meta:keyword></office:meta>"
)


def p(*inner: str) -> str:
    return f"<text:p>{''.join(inner)}</text:p>"


def box(content: str) -> str:
    return f"<draw:frame><draw:text-box>{content}</draw:text-box></draw:frame>"


def cell(content: str, more: str = "") -> str:
    return f"<table:table-cell {more}>{content}</table:table-cell>"


def table(*rows: str, more: str = "") -> str:
    inner = "".join(f"<table:table-row>{row}</table:table-row>" for row in rows)
    return f"<table:table {more}>{inner}</table:table>"


def flat(body: str, kind: str = "text", before: str = "") -> bytes:
    """A document in one XML file; before: what comes before the body."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<office:document {DECLARED}>{before}'
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body></office:document>"
    ).encode()


def packed(body: str, kind: str = "text", before: str = "", **more: bytes) -> bytes:
    """The same as a zip file; more: parts, `/` in their names as `__`."""

    def root(name: str, content: str) -> str:
        return f"<office:document-{name} {DECLARED}>{content}</office:document-{name}>"

    inner = f"<office:body><office:{kind}>{body}</office:{kind}></office:body>"
    parts = {
        "mimetype": "application/vnd.oasis.opendocument",
        "content.xml": root("content", inner),
        "styles.xml": root("styles", before),
        "meta.xml": root("meta", META),
    }
    return zipped({**parts, **{n.replace("__", "/") + ".xml": data for n, data in more.items()}})


FORMS = {"odt": packed, "fodt": flat}
INLINE = (
    "{}", "<text:span>{}</text:span>", "<text:a xlink:href='x'>{}</text:a>",
    "<text:meta>{}</text:meta>", "<text:user-defined>{}</text:user-defined>",
    "<text:conditional-text>{}</text:conditional-text>", "<text:bookmark/>{}",
    "<text:ruby><text:ruby-base>{}</text:ruby-base></text:ruby>",
    '<text:change-start text:change-id="a"/>{}<text:change-end text:change-id="a"/>',
    "<text:soft-page-break/>{}", "<text:reference-mark-start/>{}<text:reference-mark-end/>",
    "{}<office:annotation-end/>", "<!-- a comment -->{}", "<text:script>gone</text:script>{}",
)  # fmt: skip
BLOCK = (
    "{}", "<text:section>{}</text:section>",
    "<text:list><text:list-item>{}</text:list-item></text:list>",
    "<text:numbered-paragraph>{}</text:numbered-paragraph>",
    "<text:table-of-content><text:table-of-content-source><text:index-title-template>gone"
    "</text:index-title-template></text:table-of-content-source><text:index-body>{}"
    "</text:index-body></text:table-of-content>",
    "<text:tracked-changes><text:changed-region><text:deletion><text:p>gone</text:p>"
    "</text:deletion></text:changed-region></text:tracked-changes>{}",
)  # fmt: skip
BESIDE = {
    "box": box(p("beside")),
    "table in a box": box(table(cell(p("beside")))),
    "box in a link": f"<draw:a>{box(p('beside'))}</draw:a>",
    "shape": f"<draw:custom-shape>{p('beside')}</draw:custom-shape>",
    "group": f"<draw:g><draw:rect>{p('beside')}</draw:rect></draw:g>",
    "line": f"<draw:line>{p('beside')}</draw:line>",
    "alternative text": "<draw:frame><draw:image/><svg:title>beside</svg:title></draw:frame>",
    "description": "<draw:frame><draw:image/><svg:desc>beside</svg:desc></draw:frame>",
    "footnote": "<text:note><text:note-citation>1</text:note-citation><text:note-body>"
    f"{p('beside')}</text:note-body></text:note>",
    "comment": "<office:annotation><dc:creator>Ada</dc:creator><dc:date>2024</dc:date>"
    f"{p('beside')}</office:annotation>",
    "reading": "<text:ruby><text:ruby-base/><text:ruby-text>beside</text:ruby-text></text:ruby>",
    "list in a comment": "<office:annotation><text:list><text:list-item>"
    f"{p('beside')}</text:list-item></text:list></office:annotation>",
    "equation": "<draw:frame><draw:object><math xmlns='http://www.w3.org/1998/Math/MathML'>"
    "<mi>beside</mi></math></draw:object></draw:frame>",
}  # fmt: skip


def blocks(name: str, data: bytes) -> list[str]:
    return extract(name, data).text.split("\n\n")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("around", INLINE)
def test_a_word_in_several_pieces_is_one_word(around: str, form: str) -> None:
    made = p("Zitter", around.format("beweg"), "ung")
    assert blocks(f"a.{form}", FORMS[form](made)) == ["Zitterbewegung"]
    made = table(cell(made) + cell(made))
    assert blocks(f"a.{form}", FORMS[form](made)) == ["Zitterbewegung | Zitterbewegung"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("around", BLOCK)
def test_blocks_are_apart(around: str, form: str) -> None:
    body = around.format(p("one")) + around.format(p("two")) + table(cell(p("a") + p("b")))
    assert blocks(f"a.{form}", FORMS[form](body)) == ["one", "two", "a b"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE.keys())
def test_what_is_beside_the_text_is_read_once_and_apart_from_it(beside: str, form: str) -> None:
    word = p("ward", beside, "robe")
    bodies = [word, table(cell(word)), p(box(word))]
    if "ruby" not in beside:
        bodies.append(table(cell(p("wardrobe") + beside)))
    for body in bodies:
        assert blocks(f"a.{form}", FORMS[form](body)) == ["wardrobe", "beside"]


def test_case_of_a_flat_sheet_and_slides_by_what_they_are() -> None:
    data = flat("<text:h text:outline-level='1'>Flat</text:h>" + p("kestrel"))
    for suffix in ("fodt", "fods", "fodp", "fodg", "odt"):
        assert blocks(f"a.{suffix}", data) == ["# Flat", "kestrel"]


@pytest.mark.parametrize("form", FORMS)
def test_headers_and_footers_come_once_in_a_passage_of_their_own(form: str) -> None:
    page = (
        f"<style:master-page><style:header>{p('Case ZQ-4711')}</style:header><style:footer-left>"
        f"{p('Whimbrel')}</style:footer-left></style:master-page>"
    )
    before = f"<office:master-styles>{page * 20}</office:master-styles>"
    document = extract(f"a.{form}", FORMS[form](p("body"), before=before))
    assert document.text.split("\n\n") == ["body", "Case ZQ-4711", "Whimbrel"]
    assert [block.part for block in document.blocks] == [0, 1, 1]


@pytest.mark.parametrize("kind", ["presentation", "drawing"])
def test_slides_have_titles_notes_and_comments(kind: str) -> None:
    def slide(number: int, name: str, title: str) -> str:
        return (
            f'<draw:page draw:name="{name}"><office:forms><form:form><form:text form:label="label"'
            f' form:current-value="held {number}"/></form:form></office:forms>'
            f'<draw:frame>{p(f"body {number}")}</draw:frame><draw:frame presentation:class="title">'
            f"<draw:text-box>{p(title)}</draw:text-box></draw:frame>"
            f'<draw:frame presentation:class="footer">{p("the same")}</draw:frame>'
            f'<draw:frame presentation:class="page-number">{p("&lt;number&gt;")}</draw:frame>'
            f"<office:annotation>{p('said')}</office:annotation><presentation:notes>"
            f"<draw:frame>{p('note')}</draw:frame></presentation:notes></draw:page>"
        )

    body = slide(1, "page1", "First") + slide(2, "Second name", "")
    document = extract("a.fodp", flat(body, kind))
    assert document.text.split("\n\n") == [
        *("# First", "label held 1", "body 1", "the same", "said", "note"),
        *("label held 2", "body 2", "said", "note"),
    ]
    assert [block.page for block in document.blocks] == [1] * 5 + [2] * 4
    assert document.blocks[-1].heading == ("Second name",)
    assert document.title == "First"


def sheets(data: bytes, name: str = "a.fods") -> list[tuple[int | None, tuple[str, ...], str]]:
    return [
        (block.page, block.heading, document.text[block.start : block.end])
        for document in documents(io.BytesIO(data), name)
        for block in document.blocks
    ]


def test_sheets_with_repeated_cells_comments_and_shapes() -> None:
    million = 'table:number-rows-repeated="1048576"'
    comment = f"<office:annotation>{p('said')}</office:annotation>"
    value = 'office:value-type="float" office:value="3.5"'
    wide = 'table:number-columns-repeated="16384"'
    body = (
        f'<table:table table:name="Birds"><table:shapes>{box(p("drawn"))}</table:shapes>'
        "<table:table-header-rows><table:table-row>"
        f"{cell(p('kind'))}{cell(p('count'))}</table:table-row></table:table-header-rows>"
        f"<table:table-row {million}>{cell(p('dunlin'), wide)}{cell('', wide)}"
        f"<table:covered-table-cell/>{cell(comment + p('7'))}"
        f"</table:table-row><table:table-row {million}>{cell('', wide)}</table:table-row>"
        f"<table:table-row>{cell('', value)}"
        "</table:table-row></table:table>"
        + table(cell(p("hidden")), more='table:name="Two" table:display="false"')
    )
    for name, data in (
        ("a.fods", flat(body, "spreadsheet")),
        ("a.ods", packed(body, "spreadsheet")),
    ):
        assert sheets(data, name) == [
            (1, ("Birds",), "kind | count"),
            (1, ("Birds",), "drawn"),
            (1, ("Birds",), "dunlin |  | 7"),
            (1, ("Birds",), "said"),
            (1, ("Birds",), "3.5"),
            (2, ("Two",), "hidden"),
        ]


def test_documents_in_a_document_are_read() -> None:
    chart = (
        f"<office:document-content {DECLARED}><office:body><office:chart><chart:chart><chart:title>"
        f"{p('Counts')}</chart:title>{table(cell(p('Plover')) + cell(p('4')))}</chart:chart>"
        "</office:chart></office:body></office:document-content>"
    )
    frame = '<draw:frame><draw:object xlink:href="./{}"/><draw:image/></draw:frame>'
    body = p("see", *map(frame.format, ("Object 1", "Object 2", "Object 3", "Object 1", "lost")))
    parts = {"Object 1__content": chart.encode(), "Object 2__content": MATH.encode()}
    data = packed(body, **parts, **{"Object 3__content": b"\0"})
    document = extract("a.odt", data)
    assert document.text.split("\n\n") == ["see", "Counts", "Plover | 4", "Ertrag Kosten"]
    assert document.note == "Object 3/content.xml (damaged)"


def test_its_properties_are_its_title_and_fields() -> None:
    for name, data in (("a.odt", packed(p("x"))), ("a.fodt", flat(p("x"), before=META))):
        document = extract(name, data)
        assert document.title == "Waders"
        assert document.fields == {
            "author": "Ada Quince", "subject": "Mudflats", "keywords": ["dunlin", "knot"],
        }  # fmt: skip


def test_an_encrypted_document_is_said_to_be_encrypted() -> None:
    manifest = (
        b'<manifest><file-entry full-path="content.xml"><encryption-data/></file-entry></manifest>'
    )
    parts = {"content.xml": b"\x93\x01\x02", "META-INF/manifest.xml": manifest}
    with pytest.raises(ExtractError, match=r"^encrypted$"):
        extract("a.odt", zipped(parts))
