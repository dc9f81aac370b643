"""Author, subject and keywords of a document: fields, and searchable like the title."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pdf_files import Pdf, stream, text
from support import Run

XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:pdf="http://ns.adobe.com/pdf/1.3/">
<dc:title><rdf:Alt><rdf:li xml:lang="de">Vögel</rdf:li>
<rdf:li xml:lang="x-default">Birds of prey</rdf:li></rdf:Alt></dc:title>
<dc:creator><rdf:Seq><rdf:li>Marwood Bramble</rdf:li><rdf:li>Ada Quince</rdf:li></rdf:Seq>
</dc:creator>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">Falconry</rdf:li></rdf:Alt></dc:description>
<pdf:Keywords>kestrel; peregrine</pdf:Keywords>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
OPF = """<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Birds of prey</dc:title>
<dc:creator>Marwood Bramble</dc:creator><dc:creator>Ada Quince</dc:creator>
<dc:description>Falconry</dc:description>
<dc:subject>kestrel</dc:subject><dc:subject>peregrine</dc:subject></metadata>
<manifest><item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="a"/></spine></package>"""
CONTAINER = """<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="book.opf"/></rootfiles></container>"""
TWO = ["Marwood Bramble", "Ada Quince"]


def by_info() -> bytes:
    pdf = Pdf()
    pdf.page(text((50, 700, "Steep for two minutes.")))
    return pdf.bytes(
        info=b"/Title(Birds of prey)/Author(Marwood Bramble)/Subject(Falconry)"
        b"/Keywords(kestrel, peregrine)"
    )


def by_xmp() -> bytes:
    pdf = Pdf()
    pdf.page(text((50, 700, "Steep for two minutes.")))
    number = pdf.add(stream(XMP.encode(), b"/Type/Metadata/Subtype/XML"))
    return pdf.bytes(catalog=b"/Metadata %d 0 R" % number)


def write(path: Path) -> None:
    """The same document in some format."""
    if path.suffix == ".pdf":
        path.write_bytes(by_info() if path.stem == "info" else by_xmp())
    elif path.suffix == ".md":
        path.write_text(
            "---\ntitle: Birds of prey\nauthor: Marwood Bramble\nsubject: Falconry\n"
            "keywords: [kestrel, peregrine]\n---\n\nSteep for two minutes.\n",
            "utf-8",
        )
    else:
        with zipfile.ZipFile(path, "w") as book:
            book.writestr("META-INF/container.xml", CONTAINER)
            book.writestr("book.opf", OPF)
            book.writestr("a.xhtml", "<html><body><p>Steep for two minutes.</p></body></html>")


@pytest.mark.parametrize("name", ["info.pdf", "xmp.pdf", "a.epub", "a.md"])
def test_a_document_is_found_by_who_wrote_it_and_what_it_says_of_itself(
    name: str, tmp_path: Path, qrank: Callable[..., Run]
) -> None:
    write(tmp_path / name)
    (tmp_path / "other.txt").write_text("Nothing of the kind.\n", "utf-8")
    run = qrank("index", ".", "--no-embed", QRANK_DB="t.db")
    assert run.returncode == 0, run
    words = ["Bramble", "kestrel", "Birds", *["Falconry"] * (name != "a.epub")]
    for word in words:
        run = qrank("search", word, "--mode", "bm25", "--jsonl", QRANK_DB="t.db")
        *description, found = run.lines()
        assert [each["text"] for each in description] == ["Falconry"] * (name == "a.epub")
        assert Path(found["path"]).name == name
        assert found["title"] == "Birds of prey"
        assert "Steep" in found["text"]
    fields = found["fields"]
    assert fields["author"] == (TWO if name in ("xmp.pdf", "a.epub") else TWO[0])
    assert fields["keywords"] == ["kestrel", "peregrine"]
    assert name == "a.epub" or fields["subject"] == "Falconry"


def test_the_properties_of_a_picture_are_not_those_of_the_document(
    tmp_path: Path, qrank: Callable[..., Run]
) -> None:
    pdf = Pdf()
    pdf.page(text((50, 700, "Steep for two minutes.")))
    for name in (b"Bramble", b"Quince"):
        xmp = XMP.encode().replace(b"Marwood Bramble", name)
        pdf.add(stream(xmp, b"/Type/Metadata/Subtype/XML"))
    (tmp_path / "a.pdf").write_bytes(pdf.bytes())
    assert qrank("index", ".", "--no-embed", QRANK_DB="t.db").returncode == 0
    [found] = qrank("search", "steep", "--mode", "bm25", "--jsonl", QRANK_DB="t.db").lines()
    assert found["fields"] == {}
