"""Files with a wrong suffix are read by their content."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Run, complaint, extract

from qrank.errors import NoTextError
from qrank.ingest.extract import documents, format_of, is_isolated

Qrank = Callable[..., Run]
FILES = Path(__file__).parent / "files"
BINARY = ["pdf", "docx", "pptx", "xlsx", "xls", "odt", "ods", "odp", "epub"]
PLAIN = ["csv", "srt", "vtt", "jsonl"]
NAMES = ["", "txt", "md", "html", "pdf", "docx", "doc", "xlsx", "xls", "odt", "epub", "eml", "csv"]
NAMES += ["json", "jsonl", "bin", "png", "py", "srt", "dat", "mbox", "rst", "xml", "rtf", "gz"]


def words(name: str, data: bytes) -> set[str]:
    text = " ".join(document.text for document in documents(io.BytesIO(data), name))
    return set(re.findall(r"\w{4,}", text))


@pytest.mark.parametrize("kind", BINARY)
def test_a_document_is_read_under_any_suffix(kind: str) -> None:
    data = (FILES / f"water.{kind}").read_bytes()
    own = words(f"water.{kind}", data)
    assert len(own) > 25
    for suffix in NAMES:
        name = f"water.{suffix}" if suffix else "water"
        assert words(name, data) == own, name
        assert is_isolated(name, lambda: data[:1024]), name
        if suffix != "gz":
            assert words(f"{name}.gz", gzip.compress(data)) == own, name


@pytest.mark.parametrize("kind", PLAIN)
def test_text_is_read_under_any_suffix(kind: str) -> None:
    data = (FILES / f"water.{kind}").read_bytes()
    own = words(f"water.{kind}", data)
    for suffix in NAMES:
        name = f"water.{suffix}" if suffix else "water"
        assert len(own & words(name, data)) > 0.9 * len(own), name


def test_a_compressed_file_without_the_suffix_is_unpacked() -> None:
    data = (FILES / "water.csv.gz").read_bytes()
    own = words("water.csv.gz", data)
    assert words("water.csv", data) == words("water", data) == own
    assert words("water.csv.gz", gzip.decompress(data)) == own  # and one that is not compressed


@pytest.mark.parametrize("name", ["a.png", "a.bin", "a.exe", "a.o", "a.npy"])
def test_what_is_no_text_is_still_refused(name: str) -> None:
    for data in (b"\x89PNG\r\n\x1a\n\0\0", b"\x7fELF\2\1\1\0", b"", b"\xff\xfe\xfd" * 20):
        with pytest.raises(NoTextError):
            words(name, data)


def test_a_sheet_that_is_text_is_a_table() -> None:
    data = b"name\tcolour\nkestrel\tchestnut\nheron\tgrey\n"
    for suffix in ("xls", "xlsx", "ods"):
        made = list(documents(io.BytesIO(data), f"birds.{suffix}"))
        assert len(made) == 1
        assert len({block.part for block in made[0].blocks}) == 2  # a row is a part of its own
        assert format_of(io.BytesIO(data), f"birds.{suffix}") == "csv"


def test_misnamed_files_are_indexed(qrank: Qrank, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "report.txt").write_bytes((FILES / "water.pdf").read_bytes())
    (folder / "report.png").write_bytes((FILES / "water.docx").read_bytes())
    (folder / "page.pdf").write_text("<!DOCTYPE html><html><p>kestrel</p></html>", "utf-8")
    (folder / "README.bin").write_text("The heron waits.\n", "utf-8")
    (folder / "list.jsonl").write_text("no objects, only lines\n", "utf-8")
    (folder / "picture.jpg").write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
    run = qrank("index", "notes", "--no-embed", "--db", "i.db", "--json")
    assert (run.json()["files"]["added"], run.json()["files"]["skipped"]) == (5, 1)
    shown = qrank("status", "notes/report.png", "--db", "i.db").stdout
    assert "as docx" in shown
    assert "binary file" in complaint(qrank("chunks", "notes/picture.jpg"))


def test_tables_under_the_suffix_of_excel_in_any_encoding() -> None:
    for data in (
        "Größe;Stück\nkestrel;5\n".encode("cp1252"),
        "Größe\tStück\nkestrel\t5\n".encode("utf-16"),
    ):
        assert extract("a.xls", data).text == "Größe: kestrel\nStück: 5"


def test_spreadsheets_in_xml_of_2003() -> None:
    space = "urn:schemas-microsoft-com:office:spreadsheet"
    data = (
        f'<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?><Workbook xmlns="{space}" '
        f'xmlns:ss="{space}"><DocumentProperties xmlns="o"><Title>Birds</Title>'
        '</DocumentProperties><Worksheet ss:Name="May"><Table><Row><Cell><Data ss:Type="String">'
        'kestrel</Data><Comment><Data>On dunlins</Data></Comment></Cell><Cell ss:Index="4">'
        '<Data ss:Type="DateTime">2024-05-02T00:00:00.000</Data></Cell></Row></Table></Worksheet>'
        '<Worksheet ss:Name="June"><Table><Row><Cell><Data ss:Type="Number">5</Data></Cell></Row>'
        "</Table></Worksheet></Workbook>"
    )
    may, june = documents(io.BytesIO(data.encode()), "a.xls")
    assert may.text.split("\n\n") == ["kestrel |  | 2024-05-02", "On dunlins"]
    assert (may.title, may.blocks[0].page, may.blocks[0].heading) == ("Birds", 1, ("May",))
    assert (june.text, june.blocks[0].heading) == ("5", ("June",))


def test_office_files_whose_parts_are_named_with_backslashes() -> None:
    with zipfile.ZipFile(FILES / "water.docx") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in parts.items():
            info = zipfile.ZipInfo("x")
            info.filename = name.replace("/", "\\")
            archive.writestr(info, data)
    document = extract("a.docx", out.getvalue())
    assert document.text == extract("a.docx", (FILES / "water.docx").read_bytes()).text
    assert extract("a", out.getvalue()).text == document.text
