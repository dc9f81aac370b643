"""Office files written by hand, part by part, as programs write them or as they should not."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from types import MappingProxyType

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
SPACES = {
    "w": "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "p": "http://schemas.openxmlformats.org/presentationml/2006/main",
    "x": "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    "a": "http://schemas.openxmlformats.org/drawingml/2006/main",
    "r": OFFICE,
    "m": "http://schemas.openxmlformats.org/officeDocument/2006/math",
    "c": "http://schemas.openxmlformats.org/drawingml/2006/chart",
    "dgm": "http://schemas.openxmlformats.org/drawingml/2006/diagram",
    "pic": "http://schemas.openxmlformats.org/drawingml/2006/picture",
    "wp": "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing",
    "xdr": "http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing",
    "wps": "http://schemas.microsoft.com/office/word/2010/wordprocessingShape",
    "a14": "http://schemas.microsoft.com/office/drawing/2010/main",
    "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006",
    "v": "urn:schemas-microsoft-com:vml",
    "o": "urn:schemas-microsoft-com:office:office",
}
STRICT = {  # of the namespaces that Strict files name otherwise
    SPACES[prefix]: f"http://purl.oclc.org/ooxml/{name}"
    for prefix, name in {
        "w": "wordprocessingml/main",
        "p": "presentationml/main",
        "x": "spreadsheetml/main",
        "a": "drawingml/main",
        "r": "officeDocument/relationships",
        "m": "officeDocument/math",
        "c": "drawingml/chart",
        "dgm": "drawingml/diagram",
        "pic": "drawingml/picture",
        "wp": "drawingml/wordprocessingDrawing",
        "xdr": "drawingml/spreadsheetDrawing",
    }.items()
}
_DECLARED = " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in SPACES.items())
CORE = (
    '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/'
    'core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title>'
    "<dc:creator>{author}</dc:creator><dc:subject>{subject}</dc:subject>"
    "<cp:keywords>{keywords}</cp:keywords></cp:coreProperties>"
)
Parts = Mapping[str, str | bytes]
NONE: Parts = MappingProxyType({})


def zipped(parts: Parts) -> bytes:
    """A zip file of these."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def relations(*kinds_and_targets: tuple[str, str]) -> str:
    """A list of relationships rId1, rId2, ... of these kinds to these parts."""
    items = "".join(
        f'<Relationship Id="rId{number}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(kinds_and_targets, 1)
    )
    return f'<Relationships xmlns="{PACKAGE}">{items}</Relationships>'


def part(name: str, content: str) -> str:
    """A part whose root is an element of this name, with all prefixes declared."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} {_DECLARED}>{content}</{name}>'


def office(
    main: str, content: str, parts: Parts = NONE, *related: tuple[str, str]
) -> dict[str, str | bytes]:
    """The parts of a package whose main part is this, related to some of the others."""
    folder, _, name = main.rpartition("/")
    return {
        "_rels/.rels": relations(("officeDocument", main)),
        f"{folder}/_rels/{name}.rels": relations(*related),
        main: content,
        **parts,
    }


def docx(body: str, parts: Parts = NONE, *related: tuple[str, str]) -> bytes:
    """A Word document; related: (kind, target) of rId1, rId2, ... of its main part."""
    main = part("w:document", f"<w:body>{body}<w:sectPr/></w:body>")
    return zipped(office("word/document.xml", main, parts, *related))


def strict(data: bytes) -> bytes:
    """An Office Open XML file with the namespaces of its Strict form."""
    parts: dict[str, str | bytes] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            if not name.endswith((".xml", ".rels")):
                parts[name] = archive.read(name)
                continue
            text = archive.read(name).decode()
            for transitional, other in STRICT.items():
                text = text.replace(f'"{transitional}"', f'"{other}"')
                text = text.replace(f'"{transitional}/', f'"{other}/')
            parts[name] = text
    return zipped(parts)


def run(text: str) -> str:
    """A run of a Word paragraph."""
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(*inner: str) -> str:
    """A Word paragraph of runs and the like; a text is a run."""
    return f"<w:p>{''.join(each if each.startswith('<') else run(each) for each in inner)}</w:p>"


def table(*rows: list[str]) -> str:
    """A Word table; a cell is a text, or its content."""
    made = ""
    for row in rows:
        cells = [each if each.startswith("<") else paragraph(each) for each in row]
        made += f"<w:tr>{''.join(f'<w:tc><w:tcPr/>{each}</w:tc>' for each in cells)}</w:tr>"
    return f"<w:tbl><w:tblPr/><w:tblGrid/>{made}</w:tbl>"


def box(content: str) -> str:
    """A text box in a run, for newer and for older programs."""
    held = f"<w:txbxContent>{content}</w:txbxContent>"
    return (
        '<w:r><mc:AlternateContent><mc:Choice Requires="wps"><w:drawing><wp:anchor><wp:docPr '
        f'id="1" name="Box 1"/><a:graphic><a:graphicData uri="x"><wps:wsp><wps:txbx>{held}'
        "</wps:txbx></wps:wsp></a:graphicData></a:graphic></wp:anchor></w:drawing></mc:Choice>"
        f"<mc:Fallback><w:pict><v:shape><v:textbox>{held}</v:textbox></v:shape></w:pict>"
        "</mc:Fallback></mc:AlternateContent></w:r>"
    )


def drawing(content: str, said: str = "") -> str:
    """A drawing in a run; said: its alternative text."""
    return (
        f'<w:r><w:drawing><wp:inline><wp:docPr id="1" name="Picture 1" descr="{said}"/>'
        f'<a:graphic><a:graphicData uri="x">{content}</a:graphicData></a:graphic></wp:inline>'
        "</w:drawing></w:r>"
    )


def chart() -> str:
    """A chart with a title, two series and two categories."""

    def series(name: str, *values: str) -> str:
        def points(texts: tuple[str, ...]) -> str:
            return "".join(
                f'<c:pt idx="{i}"><c:v>{text}</c:v></c:pt>' for i, text in enumerate(texts)
            )

        return (
            f"<c:ser><c:tx><c:strRef><c:strCache>{points((name,))}</c:strCache></c:strRef></c:tx>"
            f"<c:cat><c:strRef><c:strCache>{points(('Spring', 'Autumn'))}</c:strCache></c:strRef>"
            f"</c:cat><c:val><c:numRef><c:numCache>{points(values)}</c:numCache></c:numRef></c:val>"
            "</c:ser>"
        )

    title = "<a:p><a:r><a:t>Migr</a:t></a:r><a:r><a:t>ation counts</a:t></a:r></a:p>"
    return part(
        "c:chartSpace",
        f"<c:chart><c:title><c:tx><c:rich>{title}</c:rich></c:tx></c:title><c:plotArea><c:barChart>"
        f"{series('Plover', '4.2999999999999998', '7')}{series('Dotterel', '12', '0.5')}"
        "</c:barChart></c:plotArea></c:chart>",
    )


def diagram() -> str:
    """SmartArt of two points."""
    points = "".join(
        f'<dgm:pt modelId="{i}"><dgm:t><a:bodyPr/><a:p><a:r><a:t>{text}</a:t></a:r></a:p></dgm:t>'
        "</dgm:pt>"
        for i, text in enumerate(("Hatching", "Fledging"))
    )
    return part("dgm:dataModel", f"<dgm:ptLst>{points}</dgm:ptLst>")


def core(title: str = "", author: str = "", subject: str = "", keywords: str = "") -> str:
    """A package's properties."""
    return CORE.format(title=title, author=author, subject=subject, keywords=keywords)
