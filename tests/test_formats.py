"""Real files of each format: a sentence that is known to be on a page, slide, sheet or line of
them is found there. tests/make_files.py made the files, each with its own program or library."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import docx
import pytest
from docx.oxml import parse_xml
from make_files import FILLER, PAGES
from support import extract

from qrank.ingest.decode import decode
from qrank.ingest.prepare import Outcome
from qrank.ingest.readers import read_all
from qrank.results import Chunk, Signature, Task
from qrank.settings import READ_ALL

FILES = Path(__file__).parent / "files"
WINTER = PAGES[2][1]
VALVES = PAGES[1][1]


def read(path: Path) -> Outcome:
    [outcome] = read_all([Task(str(path), Signature.of(path.stat()))], READ_ALL)
    return outcome


def chunks_of(name: str) -> list[Chunk]:
    outcome = read(FILES / name)
    assert not outcome.problem
    made = [new for part in outcome.parts() for new in part.chunks]
    return [new.chunk for new in made]


def having(chunks: list[Chunk], sentence: str) -> Chunk:
    """The one chunk that holds a sentence, however its lines are broken."""
    [found] = [c for c in chunks if sentence in " ".join(c.text.split())]
    return found


@pytest.mark.parametrize(
    ("name", "page", "heading"),
    [
        ("water.pdf", 3, "Winter"),
        ("reportlab.pdf", 3, "Winter"),
        ("water.docx", None, "Winter"),
        ("water.odt", None, "Winter"),
        ("water.html", None, "Winter"),
        ("water.pptx", 3, "Winter"),
        ("water.odp", 3, "Winter"),
        ("water.xlsx", 3, "Winter"),
        ("water.ods", 3, "Winter"),
        ("water.xls", 3, "Winter"),
        ("water.epub", None, ""),
        ("book.epub", 3, "Winter"),
        ("water.ipynb", None, "Winter"),
        ("water.jsonl", None, "Winter"),
        ("water.csv", None, "Winter"),
        ("water.csv.gz", None, "Winter"),
        ("post.mbox", None, "Winter – a question"),
    ],
)
def test_a_sentence_is_found_on_its_page_under_its_heading(
    name: str, page: int | None, heading: str
) -> None:
    chunk = having(chunks_of(name), WINTER)
    if page is not None:
        assert chunk.page == page
    assert chunk.heading.split(" > ")[-1] == heading
    assert VALVES not in chunk.text or name in ("water.docx", "water.odt", "water.html")


@pytest.mark.parametrize(
    "name",
    ["water.html", "water.jsonl", "water.csv", "water.srt", "water.vtt", "post.mbox", "letter.eml"],
)
def test_lines_are_those_of_the_file(name: str) -> None:
    sentence = VALVES if name == "letter.eml" else WINTER
    lines = (FILES / name).read_text("utf-8").splitlines()
    chunk = having(chunks_of(name), sentence)
    on = [i for i, line in enumerate(lines, 1) if sentence[:24] in line]
    slack = 1 if name == "water.html" else 0  # a paragraph is where its tag is
    assert any(chunk.start_line <= line <= chunk.end_line + slack for line in on)


def test_what_is_around_the_text_comes_along() -> None:
    assert "Notes on Winter: ask the plumber." in having(chunks_of("water.pptx"), WINTER).text
    assert "part 2 | 14 mm" in " ".join(c.text for c in chunks_of("water.docx"))
    assert "2024-05-02 | 40" in having(chunks_of("water.xlsx"), WINTER).text
    assert "measured flow of winter" in " ".join(c.text for c in chunks_of("water.ipynb"))
    letter = " ".join(c.text for c in chunks_of("letter.eml"))
    assert "From: Zoë Brook <zoe@example.org>" in letter
    assert "Attachments: Valves.bin" in letter


@pytest.mark.parametrize(
    "name", ["water.pdf", "water.docx", "water.odt", "water.pptx", "book.epub"]
)
def test_a_document_has_its_own_title(name: str) -> None:
    outcome = read(FILES / name)
    assert outcome.first.title in ("Water works", "Pumps")


def test_a_subtitle_is_under_its_time() -> None:
    for name in ("water.srt", "water.vtt"):
        chunk = chunks_of(name)[0]
        assert chunk.heading == "00:00:00"
        assert "<i>" not in chunk.text


def test_bytes_are_those_of_the_extracted_text() -> None:
    for name in ("water.pdf", "water.csv", "book.epub", "post.mbox"):
        chunks = chunks_of(name)
        for chunk, after in pairwise(chunks):
            assert chunk.end_byte - chunk.start_byte == len(chunk.text.encode())
            assert chunk.end_byte <= after.start_byte


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [("locked.pdf", "failed", "encrypted"), ("scan.pdf", "skipped", "its pages hold no text")],
)
def test_what_can_t_be_read_is_said(name: str, kind: str, reason: str) -> None:
    problem = read(FILES / name).problem
    assert problem
    assert problem.kind == kind
    assert reason in problem.reason


@pytest.mark.parametrize("path", sorted(FILES.iterdir()), ids=lambda path: path.name)
def test_what_a_file_is_shows_without_its_suffix_or_is_said(path: Path, tmp_path: Path) -> None:
    bare = tmp_path / path.stem
    bare.write_bytes(path.read_bytes())
    outcome = read(bare)
    sniffed = (".pdf", ".docx", ".pptx", ".xlsx", ".odt", ".epub", ".mbox")
    if path.suffix in sniffed and path.stem not in ("locked", "scan", "birds", "changed"):
        assert not outcome.problem
        assert any(FILLER[:20] in new.chunk.text for new in outcome.first.chunks)


def test_a_word_document_keeps_what_was_inserted_and_in_controls(tmp_path: Path) -> None:
    opened = docx.Document()
    body = opened.element.body
    word = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    for inner in (
        "<w:p {w}><w:r><w:t>Before </w:t></w:r><w:ins><w:r><w:t>fox</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>",
        "<w:sdt {w}><w:sdtContent><w:p><w:r><w:t>bear</w:t></w:r></w:p></w:sdtContent></w:sdt>",
        '<w:p {w}><w:fldSimple w:instr="REF"><w:r><w:t>mole</w:t></w:r></w:fldSimple>'
        "<w:r><w:tab/><w:t>owl</w:t><w:br/><w:t>newt</w:t></w:r></w:p>",
    ):
        body.insert(len(body) - 1, parse_xml(inner.replace("{w}", word)))
    cell = opened.add_table(1, 2).rows[0].cells[0]
    cell.text = "first"
    cell.add_paragraph("second")
    opened.save(str(tmp_path / "a.docx"))
    outcome = read(tmp_path / "a.docx")
    assert outcome.first.chunks[0].chunk.text.split("\n\n") == [
        *("Before fox", "bear", "mole\towl\nnewt", "first second |"),
    ]


def test_typescript_and_javascript_modules_are_code(tmp_path: Path) -> None:
    for suffix in ("ts", "cts", "mts", "cjs", "mjs"):
        path = tmp_path / f"a.{suffix}"
        path.write_text("export function f() {\n  return 1\n}\n", "utf-8")
        outcome = read(path)
        assert outcome.first.chunks[0].chunk.heading == "f"


def test_the_words_of_a_drawing_are_read() -> None:
    page = (
        "<p>a</p><svg><style>x{}</style><g><text>SELECT</text><text>FROM</text></g></svg><p>b</p>"
    )
    assert extract("a.html", page.encode()).text.split("\n\n") == ["a", "SELECT", "FROM", "b"]


def test_what_went_wrong_in_a_notebook_is_read() -> None:
    output = {"output_type": "error", "ename": "E", "evalue": "no such pump", "traceback": ["x"]}
    cell = {"cell_type": "code", "source": "run()", "outputs": [output]}
    text = extract("a.ipynb", json.dumps({"cells": [cell]}).encode()).text
    assert text == "run()\n\nE: no such pump"


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r", "cp866"])
@pytest.mark.parametrize(
    "text", ["Привет, как дела? Это короткий текст.", "Насос стоит за старым домом, у колодца."]
)
def test_a_sentence_in_cyrillic_is_read_in_its_encoding(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding))[0] == text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Die Pumpe fördert Wasser über den Hügel, große Mengen."),
        ("cp1253", "Η αντλία βρίσκεται πίσω από το παλιό σπίτι, δίπλα στο πηγάδι."),
        ("gbk", "水泵在老房子后面的井旁边，每天抽水两次。"),
        ("shift_jis", "ポンプは古い家の裏の井戸のそばにあります。"),
    ],
)
def test_other_encodings_are_not_taken_for_cyrillic(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding))[0] == text
