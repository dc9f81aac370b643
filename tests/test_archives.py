"""Zip and compressed files from untrusted sources: bombs and malformed archives are skipped, within
bounds of memory and time, and write no files."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support import COMMAND, Run, extract

from qrank.errors import ExtractError
from qrank.ingest.extract import documents

Qrank = Callable[..., Run]
FILES = Path(__file__).parent / "files"
SENTENCE = b"The garden pump draws water from the old well behind the chapel."
# A file of each format: a member of it that is text, and one more.
FORMATS = {
    "docx": ("water.docx", "word/document.xml"),
    "pptx": ("water.pptx", "ppt/slides/slide1.xml"),
    "odt": ("water.odt", "content.xml"),
    "ods": ("water.ods", "content.xml"),
    "xlsx": ("water.xlsx", "xl/worksheets/sheet1.xml"),
    "epub": ("book.epub", "EPUB/chapter 0.xhtml"),
}


def changed(suffix: str, change: Callable[[bytes], bytes]) -> bytes:
    """A real file of a format, its text changed."""
    name, member = FORMATS[suffix]
    out = io.BytesIO()
    with zipfile.ZipFile(FILES / name) as old, zipfile.ZipFile(out, "w", 8) as new:
        for info in old.infolist():
            content = old.read(info)
            new.writestr(info.filename, change(content) if info.filename == member else content)
    return out.getvalue()


def with_entities(declared: str, used: str) -> Callable[[bytes], bytes]:
    """What gives XML a document type with entities, and uses them within the sentence."""

    def change(content: bytes) -> bytes:
        start = content.index(b"?>") + 2 if content.startswith(b"<?xml") else 0
        root = content.find(b"<html") if b"<html" in content else start
        name = b"html" if b"<html" in content else b"x"
        doctype = b"<!DOCTYPE " + name + b" [" + declared.encode() + b"]>"
        body = content[root:].replace(SENTENCE, SENTENCE + used.encode())
        return content[:start] + doctype + body

    return change


def indexed(qrank: Qrank, folder: Path, *words: str) -> tuple[dict[str, int], dict[str, str]]:
    """What an index run counts, a good file among it, and the reasons of what it leaves out."""
    (folder / "good.md").write_text("The good one.\n", "utf-8")
    words = words or ("--timeout", "20")
    run = qrank("index", folder, "--no-embed", "--db", "i.db", "--json", *words)
    said = {Path(problem["path"]).name: problem["reason"] for problem in run.json()["errors"]}
    assert "Traceback" not in run.stderr
    for reason in said.values():
        assert "longer than" not in reason, said
        assert "crashed" not in reason, said
    return run.json()["files"], said


def test_entities_are_not_expanded(qrank: Qrank, tmp_path: Path) -> None:
    """Neither a billion laughs, in text or in an attribute, nor a file of this machine."""
    notes = tmp_path / "notes"
    notes.mkdir()
    secret = tmp_path / "secret.txt"
    secret.write_text("verysecretword", "utf-8")
    laughs = '<!ENTITY a0 "lolwords ">' + "".join(
        f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' for i in range(12)
    )
    one = f'<!ENTITY a "{"lolwords" * 10_000}">'
    outer = f'<!ENTITY a SYSTEM "{secret.as_uri()}"><!ENTITY % b SYSTEM "{secret.as_uri()}">%b;'
    for suffix in FORMATS:
        for name, change in {
            "laughs": with_entities(laughs, "&a12;"),
            "many": with_entities(one, "&a;" * 10_000),
            "file": with_entities(outer, "&a;"),
            "attribute": lambda content: with_entities(laughs, "")(content).replace(
                b" xmlns", b' x="&a12;" xmlns', 1
            ),
        }.items():
            (notes / f"{name}.{suffix}").write_bytes(changed(suffix, change))
    files, _ = indexed(qrank, notes)
    assert sum(files.values()) == 4 * len(FORMATS) + 1
    for word in ("lolwords", "verysecretword"):
        assert qrank("search", word, "--mode", "bm25", "--db", "i.db").returncode == 1


def test_archives_that_unpack_to_too_much(qrank: Qrank, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    zeros = bytes(65 << 20)
    for suffix in FORMATS:
        (notes / f"a.{suffix}").write_bytes(changed(suffix, lambda _: zeros))
    packed = {"gz": gzip.compress(zeros * 4, 1), "bz2": bz2.compress(zeros * 4)}
    packed["xz"] = lzma.compress(zeros * 4, preset=0)
    for suffix, data in packed.items():
        (notes / f"b.txt.{suffix}").write_bytes(data)
    files, said = indexed(qrank, notes)
    assert files["added"] + files["skipped"] + files["failed"] == len(FORMATS) + 3 + 1
    assert {"a.pptx", "a.ods"} <= said.keys()
    for name in ("a.docx", "a.odt", "a.epub", *(f"b.txt.{suffix}" for suffix in packed)):
        assert "unpacks to more than" in said[name]


def test_sizes_that_are_lies(qrank: Qrank, tmp_path: Path) -> None:
    """A member that says it has 4 GB, and one that says it has ten bytes and has more."""
    notes = tmp_path / "notes"
    notes.mkdir()
    for suffix, (name, member) in FORMATS.items():
        data = (FILES / name).read_bytes()
        at = data.rindex(member.encode()) - 46  # in the central directory
        assert data[at : at + 4] == b"PK\1\2"
        for said, size in (("huge", 0xFFFFFFF0), ("tiny", 10)):
            lie = data[: at + 24] + struct.pack("<I", size) + data[at + 28 :]
            (notes / f"{said}.{suffix}").write_bytes(lie)
    files, said_of = indexed(qrank, notes)
    for suffix in FORMATS:
        assert "unpacks to more" in said_of[f"huge.{suffix}"]
        assert "possibly damaged" not in said_of[f"tiny.{suffix}"]
    assert files["added"] + files["skipped"] + files["failed"] == 2 * len(FORMATS) + 1


def test_a_million_entries(qrank: Qrank, tmp_path: Path) -> None:
    """A central directory without end, in less memory than a worker has."""
    entry = b"PK\1\2" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"a"
    assert len(entry) == 47
    notes = tmp_path / "notes"
    notes.mkdir()
    for name, count in (("a.docx", 1_000_000), ("a", 100_000)):
        end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, count * 47, 0, 0)
        (notes / name).write_bytes(b"PK\3\4" + entry * count + end)
    _, said = indexed(qrank, notes, "--max-filesize", "1G", "--timeout", "600")
    assert said == {"a": "binary file", "a.docx": "unpacks to more than 512 MiB or 20000 files"}


def test_names_that_lead_elsewhere_and_names_twice(qrank: Qrank, tmp_path: Path) -> None:
    home = tmp_path / "elsewhere" / "notes"
    home.mkdir(parents=True)
    for suffix, (name, member) in FORMATS.items():
        with (
            zipfile.ZipFile(FILES / name) as old,
            zipfile.ZipFile(home / f"a.{suffix}", "w", 8) as new,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # zipfile says that a name is there twice
            for each in ("../../evil.txt", str(tmp_path / "evil.txt"), "..\\evil.txt", "a/../b"):
                new.writestr(each, "evil")
            for each in (*old.namelist(), member):
                new.writestr(each, old.read(each))
    before = {*tmp_path.rglob("*"), home / "good.md"}
    files, said = indexed(qrank, home)
    assert files["added"] + len(said) == len(FORMATS) + 1
    assert [path for path in tmp_path.rglob("*") if path not in before] == [tmp_path / "i.db"]


def test_what_is_named_again_and_again_is_read_once() -> None:
    """A spine, or a list of slides, that names one thing a hundred thousand times."""
    with zipfile.ZipFile(FILES / "book.epub") as book:
        members = {name: book.read(name) for name in book.namelist()}
    package = members["EPUB/content.opf"]
    first = package.index(b"<itemref")
    item = package[first : package.index(b">", first) + 1]
    members["EPUB/content.opf"] = package.replace(item, item * 100_000)
    found = list(documents(io.BytesIO(zipped(members)), "a.epub"))
    assert len(found) == 3
    with zipfile.ZipFile(FILES / "water.pptx") as slides:
        members = {name: slides.read(name) for name in slides.namelist()}
    listing = members["ppt/presentation.xml"]
    first = listing.index(b"<p:sldId ")
    slide = listing[first : listing.index(b">", first) + 1]
    members["ppt/presentation.xml"] = listing.replace(slide, slide * 100_000)
    assert (
        extract("a.pptx", zipped(members)).text
        == extract("a.pptx", (FILES / "water.pptx").read_bytes()).text
    )


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", 8) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_a_cell_may_span_many_rows_and_columns() -> None:
    """A thousand rows of a Word table with one label, and a cell as wide as no table is."""
    rows = "".join(
        "<w:tr><w:tc><w:tcPr><w:vMerge{}/></w:tcPr><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>"
        "<w:tc><w:p><w:r><w:t>row {}</w:t></w:r></w:p></w:tc></w:tr>".format(
            *((' w:val="restart"', "label") if i == 0 else ("", "")), i
        )
        for i in range(1000)
    )
    wide = (
        '<w:tr><w:tc><w:tcPr><w:gridSpan w:val="2000000000"/></w:tcPr>'
        "<w:p><w:r><w:t>wide</w:t></w:r></w:p></w:tc></w:tr>"
    )
    table = f"<w:tbl>{rows}{wide}</w:tbl>".encode()
    data = changed("docx", lambda content: content.replace(b"</w:body>", table + b"</w:body>"))
    text = extract("a.docx", data).text
    assert "label | row 0\nlabel | row 1\n" in text
    assert text.rstrip().endswith("label | row 999\nwide")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_file_of_many_compressed_pieces(pack: Callable[[bytes], bytes]) -> None:
    """gzip and the others may be put one behind the other; an empty one is a few bytes."""
    suffix = pack.__module__.replace("gzip", "gz").replace("lzma", "xz").replace("_", "")
    data = pack(b"") * 20_000 + pack(b"The end.\n")
    assert extract(f"a.txt.{suffix}", data).text == "The end.\n"


def test_a_bomb_takes_no_more_memory_than_a_worker_may(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (tmp_path / "a.html.gz").write_bytes(gzip.compress(b"<p>a" * (60 << 20), 1))
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    words = [COMMAND, "index", "a.html.gz", "--no-embed", "--db", "i.db"]
    run = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(run.stdout.split()[-1]) < 1_000_000  # KiB
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    "name", ["birds.docx", "water.pptx", "water.xlsx", "water.odt", "water.ods", "water.odp"]
)
def test_an_office_file_that_is_cut_off_is_read_as_far_as_it_goes(name: str) -> None:
    data = (FILES / name).read_bytes()
    whole = "".join(document.text for document in documents(io.BytesIO(data), name))
    cut = data[: data.rindex(b"PK\1\2") - 10]
    found = [*documents(io.BytesIO(cut), name)]
    text = "".join(document.text for document in found)
    assert set(text.split()) == set(whole.split())
    assert f"truncated at byte {len(cut)}" in found[-1].note
    for share in range(1, 40):  # wherever it is cut, this ends
        with contextlib.suppress(ExtractError):
            list(documents(io.BytesIO(data[: len(data) * share // 40]), name))
    with pytest.raises(ExtractError, match=r"^truncated at byte 400$"):
        list(documents(io.BytesIO(data[:400]), name))
