"""The numbers of lists and headings in Word documents, as Word shows them."""

from __future__ import annotations

from office_files import docx, paragraph, part, run, strict, table
from support import extract


def level(at: int, text: str, format: str = "decimal", more: str = "", start: int = 1) -> str:
    return (
        f'<w:lvl w:ilvl="{at}"><w:start w:val="{start}"/><w:numFmt w:val="{format}"/>{more}'
        f'<w:lvlText w:val="{text}"/></w:lvl>'
    )


def abstract(identity: int, *content: str) -> str:
    return f'<w:abstractNum w:abstractNumId="{identity}">{"".join(content)}</w:abstractNum>'


def num(identity: int, of: int, more: str = "") -> str:
    return f'<w:num w:numId="{identity}"><w:abstractNumId w:val="{of}"/>{more}</w:num>'


RESTART = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride>'
NUMBERING = part(
    "w:numbering",
    abstract(1, level(0, "%1."), level(1, "%2)", "lowerLetter"), level(2, "(%3)", "lowerRoman"))
    + abstract(2, level(0, "%1", more='<w:pStyle w:val="Head1"/>'),
               level(1, "%1.%2", more='<w:pStyle w:val="Head2"/>'))
    + abstract(3, level(0, "•", "bullet"), level(1, "%1–%2 x", "upperLetter"))
    + abstract(4, level(0, "Article %1", "upperRoman"), level(1, "Section %1.%2", "decimalZero",
               "<w:isLgl/>"), level(2, "%3", "ordinal", '<w:lvlRestart w:val="0"/>'))
    + abstract(5, '<w:numStyleLink w:val="Own"/>')
    + abstract(6, '<w:styleLink w:val="Own"/>', level(0, "§%1", start=7))
    + num(1, 1) + num(2, 2) + num(3, 3) + num(4, 4) + num(5, 5) + num(6, 1, RESTART) + num(7, 1),
)  # fmt: skip
STYLES = part(
    "w:styles",
    '<w:style w:type="paragraph" w:styleId="Head1"><w:name w:val="heading 1"/><w:pPr><w:numPr>'
    '<w:numId w:val="2"/></w:numPr></w:pPr></w:style>'
    '<w:style w:type="paragraph" w:styleId="Head2"><w:name w:val="heading 2"/>'
    '<w:basedOn w:val="Head1"/><w:pPr><w:numPr><w:numId w:val="2"/></w:numPr></w:pPr></w:style>'
    '<w:style w:type="paragraph" w:styleId="Own2"><w:basedOn w:val="Head1"/></w:style>',
)


def item(text: str, number: int = 1, at: int = 0, marks: str = "") -> str:
    inner = run(text) if text else ""
    return (
        f'<w:p><w:pPr><w:numPr><w:ilvl w:val="{at}"/><w:numId w:val="{number}"/></w:numPr>'
        f"{marks}</w:pPr>{inner}</w:p>"
    )


def styled(text: str, style: str, more: str = "") -> str:
    return f'<w:p><w:pPr><w:pStyle w:val="{style}"/>{more}</w:pPr>{run(text)}</w:p>'


def blocks(*body: str) -> list[str]:
    parts = {"word/numbering.xml": NUMBERING, "word/styles.xml": STYLES}
    data = docx("".join(body), parts, ("numbering", "numbering.xml"), ("styles", "styles.xml"))
    assert extract("a.docx", strict(data)).text == extract("a.docx", data).text
    return extract("a.docx", data).text.split("\n\n")


def test_items_count_by_level_and_lists_go_on() -> None:
    body = [
        item("one"), item("two"), item("deep", 1, 1), item("deeper", 1, 2), item("deep", 1, 1),
        paragraph("between"), item("three"), item("anew", 1, 1), item("same list", 7),
        item("restarted", 6), item("goes on", 6),
    ]  # fmt: skip
    assert blocks(*body) == [
        "1. one", "2. two", "a) deep", "(i) deeper", "b) deep",
        "between", "3. three", "a) anew", "4. same list", "1. restarted", "2. goes on",
    ]  # fmt: skip


def test_headings_have_the_numbers_of_their_styles() -> None:
    none = '<w:numPr><w:numId w:val="0"/></w:numPr>'
    body = [
        styled("Scope", "Head1"), styled("Terms", "Head1"), styled("Birds", "Head2"),
        styled("Waders", "Head2"), styled("Plain", "Head1", none), styled("Ends", "Own2"),
    ]  # fmt: skip
    assert blocks(*body) == [
        *("# 1 Scope", "# 2 Terms", "## 2.1 Birds", "## 2.2 Waders", "# Plain", "# 3 Ends"),
    ]


def test_numbers_in_every_form() -> None:
    body = [
        item("dot", 3), item("in letters", 3, 1), *(item("art", 4) for _ in range(4)),
        item("legal", 4, 1), item("first", 4, 2), item("art", 4), item("goes on", 4, 2),
        item("linked", 5), item("linked", 5), item("unknown list", 99),
    ]  # fmt: skip
    assert blocks(*body) == [
        "dot", "–A x in letters", "Article I art", "Article II art", "Article III art",
        "Article IV art", "Section 4.1 legal", "1st first", "Article V art", "2nd goes on",
        "§7 linked", "§8 linked", "unknown list",
    ]  # fmt: skip


def test_numbers_alone_are_in_tables_and_what_was_deleted_has_none() -> None:
    deleted = item("", 1, 0, "<w:rPr><w:del/></w:rPr>")
    body = [item("one"), item(""), deleted, table([item(""), "cell"], [item("x"), "cell"])]
    assert blocks(*body) == ["1. one", "3. | cell\n4. x | cell"]
