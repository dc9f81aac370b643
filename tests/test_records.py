"""Rows of JSONL and CSV, parts of mails, and warnings about skipped parts of a file."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Run, extract

from qrank.errors import NoTextError
from qrank.ingest.chunk import chunk
from qrank.ingest.extract import documents

Qrank = Callable[..., Run]
CELLS = st.text(st.characters(categories=("L", "N")) | st.sampled_from(' ,;"\n'), max_size=12)


def rows(name: str, data: str) -> list[tuple[int, int, str]]:
    """(first line, last line, text) of each chunk."""
    return [(c.start_line, c.end_line, c.text) for c in chunk(extract(name, data.encode()))]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"text": "Tea.", "meta": {"source": "x"}}, "Tea."),
        (
            {"messages": [{"role": "user", "content": "Tea?"}, {"content": "Green."}]},
            "Tea?\nGreen.",
        ),
        ({"a": {"b": {"text": "deep"}}}, "deep"),
        ({"id": "7", "tags": ["red", "green"]}, "id: 7\ntags: red, green"),
        ({"text": {"en": "one", "de": "eins"}}, "one\neins"),
        ({"text": [["a"], "b", 3, None]}, "a\nb"),
        ({"id": 7, "year": 1999, "vector": [0.1, 0.2], "ok": True}, "id: 7\nyear: 1999"),
    ],
)
def test_the_text_of_a_record_is_found(row: object, text: str) -> None:
    assert rows("a.jsonl", json.dumps(row)) == [(1, 1, text)]


def test_rows_of_csv_know_all_their_lines_and_columns() -> None:
    found = rows("a.csv", 'a,b\n1,"x\ny\nz"\n2,q,extra words\n3,"\n\n"\n')
    assert found == [
        (2, 4, "a: 1\nb: x\ny\nz"),
        (5, 5, "a: 2\nb: q\ncolumn 3: extra words"),
        (6, 6, "3"),
    ]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ('Name;Sum\nMüller;"1,20"\nMeier;"a ""b""\nc"\n', ["Name: Müller\nSum: 1,20"]),
        ("Day;Sum\n1;-12,50\n2;-3,20\n", ["Day: 1\nSum: -12,50", "Day: 2\nSum: -3,20"]),
        ("first line of a list\nsecond, longer\n", ["first line of a list", "second, longer"]),
        ("id,text\n1,'single' start\n2,\"He's here, 'now'\"\n", ["id: 1\ntext: 'single' start"]),
        ("a\tb, c\n1\t2, 3\n", ["a: 1\nb, c: 2, 3"]),
    ],
)
def test_what_separates_cells_is_seen(data: str, found: list[str]) -> None:
    made = chunk(extract("a.csv", data.encode("cp1252")))
    assert [c.text for c in made][: len(found)] == found


def test_the_line_that_names_the_separator_is_no_row() -> None:
    [made] = chunk(extract("a.csv", b"sep=;\nname;likes\nAnna;tea\n"))
    assert (made.heading, made.start_line, made.end_line) == ("Anna", 3, 3)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8-sig", "late"])
def test_records_come_in_any_encoding(name: str, encoding: str) -> None:
    rows_ = ["plain words"] * (5000 if encoding == "late" else 1) + ["Größe über Zürich"]
    lines = [
        f"{i},{row}" if name == "a.csv" else f'{{"text": "{row}"}}' for i, row in enumerate(rows_)
    ]
    text = "\n".join(["id,text", *lines] if name == "a.csv" else lines)
    data = text.encode("cp1252" if encoding == "late" else encoding)
    assert chunk(extract(name, data))[-1].text.endswith("Größe über Zürich")


@given(st.lists(st.lists(CELLS, min_size=2, max_size=4), min_size=2, max_size=6))
def test_no_cell_of_csv_is_lost(table: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(table)
    cells = " ".join(cell for row in table[1:] for cell in row).split()
    try:
        found = rows("a.csv", out.getvalue())
    except NoTextError:
        assert not cells
        return
    said = " ".join(text for _, _, text in found)
    assert all(word in said for word in cells if word < "\u0300")
    lines = out.getvalue().count("\n")
    assert all(2 <= first <= last <= lines for first, last, _ in found)


@pytest.mark.parametrize(
    ("name", "text", "error", "reason"),
    [
        ("a.jsonl", '{"n": [1]}\n{"n": null}\n', NoTextError, "no row has text"),
        ("a.csv", "\n\n", NoTextError, "no row has text"),
        ("a.html", "<p> </p>", NoTextError, "no text"),
    ],
)
def test_what_has_no_text_is_said_to_have_none(
    name: str, text: str, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        extract(name, text.encode())


@pytest.mark.parametrize(
    "text", ["Dear all,\nsecond\n\nthird\n", "Note to self: tea\nsecond\n", "x\n"]
)
def test_a_letter_without_headers_is_all_text(text: str) -> None:
    assert rows("a.eml", text) == [(1, text.count("\n"), text.strip())]


@pytest.mark.parametrize(
    ("charset", "said"),
    [("utf-8", None), ("utf-8", "utf-8"), ("cp1252", "iso-8859-1"), ("utf-8", "no-such")],
)
def test_a_letter_is_read_in_the_encoding_it_is_in(charset: str, said: str | None) -> None:
    kind = f"Content-Type: text/plain; charset={said}\n" if said else ""
    head = f"From: a@b.c\nSubject: s\n{kind}Content-Transfer-Encoding: 8bit\n\n"
    body = "it’s “fine” – €5 für Müller\n"
    assert "it’s “fine” – €5 für Müller" in rows_of_bytes(head.encode() + body.encode(charset))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
def test_a_long_file_is_read_to_its_last_row(tmp_path: Path, suffix: str) -> None:
    count = 60_000  # several documents' worth, more than any buffer holds
    if suffix == "csv":
        text = "who,what\n" + "".join(f"guest {i},tea for two and a cake\n" for i in range(count))
    else:
        text = "".join(f'{{"who": "guest {i} wants tea and a cake"}}\n' for i in range(count))
    if suffix == "json":
        text = "[\n" + text.replace("}\n", "},\n")[:-2] + "\n]\n"
    path = tmp_path / f"long.{suffix}"
    path.write_text(text)
    with path.open("rb") as file:
        read = list(documents(file, path.name))
    assert [document.note for document in read] == [""] * len(read)
    body = "\n".join(document.text for document in read)
    assert len(read) > 1
    assert re.findall(r"guest (\d+)", body) == [str(i) for i in range(count)]


def rows_of_bytes(data: bytes) -> str:
    return "\n".join(c.text for c in chunk(extract("a.eml", data)))


def test_a_line_that_begins_as_a_separator_does_is_none() -> None:
    letter = "From: a@b.c\nSubject: {}\n\nDear all,\n\nFrom the beginning I said {}.\n\n"
    for separator in ("From a@b.c Wed May  1 10:00:00 2024\n", "From - Wed May 01 10:00 2024\n"):
        box = "".join(separator + letter.format(name, name) for name in ("One", "Two"))
        found = chunk(extract("a.mbox", box.encode()))
        assert [c.heading for c in found] == ["One", "Two"]
        assert "From the beginning I said One." in found[0].text


def test_a_message_without_a_suffix_is_a_mail() -> None:
    raw = b"From: =?utf-8?q?J=C3=B6rg?= <j@x.de>\nSubject: s\nMIME-Version: 1.0\n\nHallo\n"
    [document] = documents(io.BytesIO(raw), "1700000000.M1P2.host:2,S")
    assert "Jörg" in document.text
    [document] = documents(io.BytesIO(b"Note: one\nOther: two\n\nText.\n"), "note")
    assert document.text.startswith("Note: one")


def test_what_is_within_a_letter_is_read() -> None:
    within = EmailMessage()
    within["Subject"], within["From"] = "About pumps", "zoe@example.org"
    within.set_content("<p>The pump is <b>old</b>.</p>", subtype="html")
    letter = EmailMessage()
    letter["Subject"] = "Fwd"
    letter.set_content(" \n")
    letter.add_alternative("<p>See below.</p>", subtype="html")
    letter.make_mixed()
    letter.add_attachment(within)
    letter.add_attachment("day,mm\n1,40\n", subtype="csv", filename="rain.csv")
    letter.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="a.pdf")
    read, table, left_out = documents(io.BytesIO(letter.as_bytes()), "a.eml")
    assert (table.member, table.text) == ("rain.csv", "day: 1\nmm: 40")
    assert left_out.note.startswith("a.pdf: ")
    found = chunk(read)
    assert [(c.heading, c.text.splitlines()) for c in found] == [
        (
            "Fwd",
            ["Subject: Fwd", "", "See below.", "", "From: zoe@example.org", "Subject: About pumps"]
            + ["", "The pump is old."],
        ),
        ("Fwd", ["Attachments: rain.csv, a.pdf"]),
    ]


def test_what_of_a_file_is_passed_over_is_said_once(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.jsonl").write_text('{"text": "one"}\nbroken\n{"text": "three"}\n', "utf-8")
    (tmp_path / "d" / "e.mbox").write_text(
        "From a@b.c Wed May  1 10:00:00 2024\nSubject: deep\nContent-Type: text/html\n\n"
        + "<div>" * 3000
        + "deep\n\n"
        + "From a@b.c Wed May  1 10:00:00 2024\nSubject: s\n\nText.\n\n" * 120,
        "utf-8",
    )
    deep = "<p>before</p>\n" + "<div>" * 3000 + "deep" + "</div>" * 3000
    (tmp_path / "d" / "b.html").write_text(deep, "utf-8")
    long = '{"text": "' + "word " * 100_000 + '"}\n'
    (tmp_path / "d" / "c.jsonl").write_text("[1]\n" + long * 6 + "2\n", "utf-8")
    words = ("index", "d", "--no-embed", "--db", "i.db")
    run = qrank(*words)
    assert run.stderr.splitlines() == [
        "qrank: skipped part of d/a.jsonl: 1 of 3 lines is not a JSON object (line 2)",
        "qrank: skipped part of d/b.html: HTML nested too deeply from line 2 on",
        "qrank: skipped part of d/c.jsonl: 2 of 8 lines are not JSON objects (line 1, …)",
        "qrank: skipped part of d/e.mbox: HTML nested too deeply from there on",
    ]
    assert run.stdout.startswith("4 added;")
    assert qrank(*words).stderr == ""
    (tmp_path / "d" / "a.jsonl").write_text('{"text": "one"}\nbroken\n', "utf-8")
    [error] = qrank(*words, "--json").json()["errors"]
    assert error["reason"] == "1 of 2 lines is not a JSON object (line 2)"
    assert error["partly"]
    shown = qrank("chunks", "d/a.jsonl", "--json")
    assert "skipped part of d/a.jsonl: 1 of 2 lines" in shown.stderr
    assert shown.json()["files"][0]["note"] == error["reason"]
    assert qrank("chunks", "d/a.jsonl", "--fields", "nope").stderr.endswith(
        "no row has text under nope; there are: text (--fields)\n"
    )
