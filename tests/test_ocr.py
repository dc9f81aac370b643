"""Scanned pages and pictures are read when that is asked for, by the program tesseract."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from email.message import EmailMessage
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pypdfium2
import pytest
from pdf_files import Pdf, stream, text
from support import Run, complaint

import qrank as qrank_api
from qrank.cli.output.progress_lines import Lines
from qrank.progress import Silent
from qrank.settings import Reading

pytestmark = pytest.mark.skipif(not which("tesseract"), reason="there is no tesseract")
SCAN = "The garden pump draws water from the old well."
PICTURE = "A stuck brass valve is freed with warm vinegar."


def drawn(line: str) -> tuple[int, int, bytes]:
    """(width, height, grey pixels) of a page with a line of text, drawn at 200 dpi."""
    pdf = Pdf()
    pdf.page(text((50, 700, line)).replace(b"/F 9 Tf", b"/F 18 Tf"))
    with pypdfium2.PdfDocument(pdf.bytes()) as opened:
        bitmap = opened[0].render(scale=200 / 72, grayscale=True)
        data = bytes(bitmap.buffer)
        size, stride = (bitmap.width, bitmap.height), bitmap.stride
    rows = (data[at : at + size[0]] for at in range(0, size[1] * stride, stride))
    return *size, b"".join(rows)


def scan() -> bytes:
    """A PDF whose first page is a picture of a text, whose second is text, and whose third has a
    stamp over a picture."""
    width, height, pixels = drawn(SCAN)
    pdf = Pdf()
    entries = b"/Subtype/Image/Width %d/Height %d/BitsPerComponent 8/ColorSpace/DeviceGray"
    entries += b"/Filter/FlateDecode"
    image = pdf.add(stream(zlib.compress(pixels), entries % (width, height)))
    content = b"q 595 0 0 842 0 0 cm /I Do Q"
    pdf.page(content, resources=b"/XObject<</I %d 0 R>>" % image)
    pdf.page(text((50, 700, "This page has a layer of text.")))
    stamped = content + b" " + text((50, 30, "Ledger 2026-01-02, page 3"))
    pdf.page(stamped, resources=b"/XObject<</I %d 0 R>>" % image)
    return pdf.bytes()


def png() -> bytes:
    width, height, pixels = drawn(PICTURE)

    def part(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + pixels[at : at + width] for at in range(0, width * height, width))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    end = part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + end


def test_scans_and_pictures_are_read_when_that_is_asked_for(
    tmp_path: Path, qrank: Callable[..., Run], environment: dict[str, str]
) -> None:
    (tmp_path / "scan.pdf").write_bytes(scan())
    (tmp_path / "picture.png").write_bytes(png())
    index = ("index", "scan.pdf", "picture.png", "--no-embed", "--json")
    search = ("--mode", "bm25", "--jsonl")
    plain = qrank(*index, QRANK_DB="i.db").json()
    [said] = [each["reason"] for each in plain["errors"] if each["path"].endswith("scan.pdf")]
    assert said == "no text layer: 2 pages (1, 3) of pictures (--ocr reads them)"
    assert qrank("search", "pump", *search, QRANK_DB="i.db").lines() == []
    [stamp] = qrank("search", "ledger", *search, QRANK_DB="i.db").lines()
    assert (stamp["page"], stamp["ocr"]) == (3, False)
    read = qrank(*index, "--ocr", QRANK_DB="i.db").json()
    assert read["errors"] == []
    first, third = qrank("search", "pump", *search, QRANK_DB="i.db").lines()
    for found in (first, third):
        assert SCAN in " ".join(found["text"].split())
        assert found["ocr"]
    assert {first["page"], third["page"]} == {1, 3}
    [layer] = qrank("search", "layer", *search, QRANK_DB="i.db").lines()
    assert (layer["page"], layer["ocr"]) == (2, False)
    [valve] = qrank("search", "vinegar", *search, QRANK_DB="i.db").lines()
    assert PICTURE in " ".join(valve["text"].split())
    assert valve["ocr"]
    # Asked for once, it stays; and no picture is read twice, even by one without the program.
    again = qrank(*index, QRANK_DB="i.db").json()
    assert again["files"]["unchanged"] == 2
    kept = Path(environment["HOME"], ".cache", "qrank", "ocr")
    texts = [path for path in kept.rglob("*") if path.is_file()]
    assert len(texts) == 3
    for path in texts:
        path.write_text("Remembered words", "utf-8")
    other = qrank("chunks", "picture.png", "--ocr", "--jsonl").lines()
    assert [chunk["text"] for chunk in other] == ["Remembered words"]


def test_a_picture_in_a_mail_is_a_member_of_it(tmp_path: Path, qrank: Callable[..., Run]) -> None:
    mail = EmailMessage()
    mail["Subject"] = "The valve"
    mail.set_content("See the note.")
    mail.add_attachment(png(), "image", "png", filename="note")
    (tmp_path / "a.eml").write_bytes(bytes(mail))
    qrank("index", "a.eml", "--no-embed", QRANK_DB="i.db")
    qrank("index", "a.eml", "--no-embed", "--ocr", QRANK_DB="i.db")
    [found] = qrank("search", "vinegar", "--mode", "bm25", "--jsonl", QRANK_DB="i.db").lines()
    assert (found["member"], found["ocr"]) == ("note.png", True)


def test_progress_says_the_pages_of_a_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Told(Silent):
        def __init__(self) -> None:
            self.details: list[str] = []

        def detail(self, text: str) -> None:
            self.details.append(text)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "scan.pdf").write_bytes(scan())
    told = Told()
    with qrank_api.Index(tmp_path / "i.db") as index:
        reading = Reading(ocr="eng")
        index.add(tmp_path / "scan.pdf", embed=False, reading=reading, progress=told)
    assert told.details == ["scan.pdf, page 1 of 3", "scan.pdf, page 3 of 3", ""]
    said: list[str] = []
    lines = Lines(said.append, clock=iter(range(0, 10_000, 61)).__next__)
    lines.stage("reading", None)
    lines.detail("a\x1b.pdf, page 2 of 9")
    assert said == ["reading a␛.pdf, page 2 of 9"]


@pytest.mark.skipif(not find_spec("rapidocr"), reason="the extra ocr is not installed")
def test_models_read_pictures_where_there_is_no_tesseract(
    tmp_path: Path, qrank: Callable[..., Run]
) -> None:
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "scan.pdf").write_bytes(scan())
    options = {"QRANK_DB": "i.db", "PATH": str(tmp_path)}
    said = complaint(qrank("index", ".", "--ocr", "--ocr-language", "rus", **options))
    assert "do not have the language rus" in said
    report = qrank("index", ".", "--ocr", "--no-embed", "--json", **options).json()
    assert report["errors"] == []
    found = qrank("search", "vinegar pump", "--mode", "bm25", "--jsonl", **options).lines()
    assert {Path(each["path"]).name for each in found} == {"a.png", "scan.pdf"}
    assert all(each["ocr"] for each in found)


def test_what_ocr_can_t_do_is_said(tmp_path: Path, qrank: Callable[..., Run]) -> None:
    (tmp_path / "a.png").write_bytes(png())
    said = complaint(qrank("index", "a.png", "--ocr", "--ocr-language", "xyz", QRANK_DB="i.db"))
    assert "tesseract does not have the language xyz" in said
    said = complaint(qrank("index", "a.png", "--ocr", "--ocr-language", "-x", QRANK_DB="i.db"))
    assert "--ocr-language" in said
    said = complaint(qrank("index", "a.png", "--ocr-language", "eng", QRANK_DB="i.db"))
    assert "--ocr-language goes with --ocr" in said
    empty = tmp_path / "bin"
    empty.mkdir()
    said = complaint(qrank("index", "a.png", "--ocr", QRANK_DB="i.db", PATH=str(empty)))
    assert "needs the program tesseract" in said
    assert "'qrank[ocr]'" in said
    (tmp_path / "b.png").write_bytes(png()[:300])
    (tmp_path / "c.txt").write_text("Some words.\n", "utf-8")
    report = qrank(
        "index", "b.png", "c.txt", "--ocr", "--no-embed", "--json", QRANK_DB="i.db"
    ).json()
    [problem] = report["errors"]
    assert "OCR failed" in problem["reason"] or "no text was found" in problem["reason"]
    assert report["files"]["added"] == 1
