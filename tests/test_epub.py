"""EPUB 2 and 3 as programs write them: odd names of chapters, missing or encrypted ones."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from collections.abc import Mapping

import pytest

from qrank.errors import ExtractError
from qrank.ingest.extract import documents
from qrank.results import Document

CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OPS/book.opf"/></rootfiles></container>'
)
CHAPTER = (
    "<html><head><title/></head><body><h1>{0}</h1><p>The {0} flew.<a id='x'/></p></body></html>"
)


def book(
    hrefs: Mapping[str, str],
    members: Mapping[str, str | bytes],
    *,
    version: str = "3.0",
    about: str = "",
) -> bytes:
    """A book whose package names hrefs (by id) as its chapters, and that holds members."""
    items = "".join(f'<item id="{i}" href="{href}"/>' for i, href in hrefs.items())
    spine = "".join(f'<itemref idref="{i}"/>' for i in hrefs)
    package = (
        f'<package xmlns="http://www.idpf.org/2007/opf" version="{version}"><metadata '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Birds</dc:title>{about}</metadata>'
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in {
            "META-INF/container.xml": CONTAINER,
            "OPS/book.opf": package,
            **members,
        }.items():
            archive.writestr(name, data)
    return out.getvalue()


def read(data: bytes) -> list[Document]:
    return list(documents(io.BytesIO(data), "a.epub"))


def text_of(found: list[Document]) -> str:
    return "\n".join(document.text for document in found)


@pytest.mark.parametrize("version", ["2.0", "3.0"])
@pytest.mark.parametrize(
    ("href", "member"),
    [
        ("kestrel.xhtml", "OPS/kestrel.xhtml"),
        ("Kestrel.xhtml", "OPS/kestrel.XHTML"),
        ("text\\kestrel.xhtml", "OPS/text/kestrel.xhtml"),
        ("text/kestrel.xhtml", "OPS\\text\\kestrel.xhtml"),
        ("kestrel.xhtml#part2", "OPS/kestrel.xhtml"),
        ("a%20kestrel.xhtml", "OPS/a kestrel.xhtml"),
        ("a%20kestrel.xhtml", "OPS/a%20kestrel.xhtml"),
        ("v%C3%B6gel.xhtml", unicodedata.normalize("NFD", "OPS/vögel.xhtml")),
        (unicodedata.normalize("NFD", "vögel.xhtml"), "OPS/vögel.xhtml"),
        ("../text/kestrel.xhtml", "text/kestrel.xhtml"),
        ("/OPS/kestrel.xhtml", "OPS/kestrel.xhtml"),
        ("c#1.xhtml", "OPS/c#1.xhtml"),
    ],
)
def test_a_chapter_is_found_however_it_is_named(href: str, member: str, version: str) -> None:
    data = book({"a": href}, {member: CHAPTER.format("kestrel")}, version=version)
    [document] = read(data)
    assert "The kestrel flew." in document.text
    assert (document.title, document.blocks[0].page) == ("Birds", 1)


def test_the_description_of_a_book_is_text() -> None:
    about = "<dc:description>&lt;p&gt;On &lt;b&gt;knots&lt;/b&gt;.&lt;/p&gt;</dc:description>"
    made = read(book({"a": "a.html"}, {"OPS/a.html": CHAPTER.format("merlin")}, about=about))
    assert made[-1].text == "On knots."


def test_a_name_in_utf_8_that_does_not_say_so() -> None:
    data = book({"a": "vögel.xhtml"}, {"OPS/vögel.xhtml": CHAPTER.format("kestrel")})
    at = data.index("OPS/vögel.xhtml".encode()) - 30
    central = data.rindex("OPS/vögel.xhtml".encode()) - 46
    data = bytearray(data)
    data[at + 7] &= 0xF7  # the flag for UTF-8
    data[central + 9] &= 0xF7
    assert "The kestrel flew." in text_of(read(bytes(data)))


def test_a_chapter_that_is_missing_or_broken_is_said_and_costs_no_other() -> None:
    hrefs = {
        "a": "a.xhtml",
        "gone": "gone.xhtml",
        "image": "b.png",
        "b": "b.xhtml",
        "again": "a.xhtml#x",
    }
    members = {
        "OPS/a.xhtml": CHAPTER.format("kestrel"),
        "OPS/b.xhtml": CHAPTER.format("merlin"),
        "OPS/b.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    }
    found = read(book(hrefs, members))
    assert text_of(found).count("The kestrel flew.") == 1
    assert "The merlin flew." in text_of(found)
    assert [document.blocks[0].page for document in found[:-1]] == [1, 4]
    assert "1 chapter missing (gone.xhtml)" in found[-1].note
    assert "(b.png)" in found[-1].note


def test_the_package_is_found_where_no_container_says_it() -> None:
    data = book({"a": "a.xhtml"}, {"OPS/a.xhtml": CHAPTER.format("kestrel")})
    moved = data.replace(b'OPS/book.opf"/>', b'OPS/cook.opf"/>')
    assert "The kestrel flew." in text_of(
        read(moved.replace(b"META-INF/container.xml", b"META-INF/containes.xml"))
    )


def encryption(method: str, *names: str) -> str:
    data = "".join(
        f'<e:EncryptedData><e:EncryptionMethod Algorithm="{method}"/><e:CipherData>'
        f'<e:CipherReference URI="{name}"/></e:CipherData></e:EncryptedData>'
        for name in names
    )
    return f'<encryption xmlns:e="http://www.w3.org/2001/04/xmlenc#">{data}</encryption>'


def test_a_lock_is_named_and_disguised_fonts_are_none() -> None:
    hrefs = {"a": "a.xhtml", "b": "b.xhtml"}
    members: dict[str, str | bytes] = {f"OPS/{i}.xhtml": CHAPTER.format(i) for i in "ab"}
    aes = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
    place = "META-INF/encryption.xml"
    fonts = encryption("http://www.idpf.org/2008/embedding", "OPS/font.otf")
    assert len(read(book(hrefs, members | {place: fonts}))) == 2
    some = read(book(hrefs, members | {place: encryption(aes, "OPS/b.xhtml")}))
    assert "The a flew." in text_of(some)
    assert "1 chapter encrypted (DRM) (b.xhtml)" in some[-1].note
    whole = members | {place: encryption(aes, "OPS/a.xhtml", "OPS/b.xhtml")}
    with pytest.raises(ExtractError, match=r"encrypted \(DRM"):
        read(book(hrefs, whole))
    with pytest.raises(ExtractError, match="Adobe ADEPT"):
        read(book(hrefs, whole | {"META-INF/rights.xml": "<rights/>"}))


def test_a_chapter_is_read_in_the_encoding_that_it_names() -> None:
    head = "<?xml version='1.0' encoding='windows-1251'?>"
    page = f"{head}<html><body><p>Сокол летел над рекой.</p></body></html>"
    found = read(book({"a": "a.xhtml"}, {"OPS/a.xhtml": page.encode("cp1251")}))
    assert "Сокол летел над рекой." in text_of(found)


def test_chapters_that_only_links_reach_follow_the_others() -> None:
    data = book({"a": "a.html"}, {f"OPS/{n}.html": CHAPTER.format(n) for n in ("a", "note", "nav")})
    page = ' media-type="application/xhtml+xml"'
    more = f'<item id="n" href="note.html"{page}/><item id="g" href="gone.html"{page}/>'
    more += f'<item id="v" href="nav.html" properties="nav"{page}/></manifest>'
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"</manifest>", more.encode()))
    found = read(out.getvalue())
    assert [each.blocks[0].heading for each in found] == [("a",), ("note",)]
    assert [each.note for each in found] == ["", ""]
