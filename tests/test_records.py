"""Rows of JSONL and CSV, parts of letters, and what of a file is passed over and said."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Run, extract

from qrank.errors import ExtractError, NoTextError
from qrank.ingest.chunk import chunk

Qrank = Callable[..., Run]
CELLS = st.text(st.characters(categories=("L", "N")) | st.sampled_from(' ,;"\n'), max_size=12)


def rows(name: str, data: str) -> list[tuple[int, int, str]]:
    """(first line, last line, text) of each passage."""
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
        ("a.jsonl", '{"n": 1}\n{"n": 2}\n', NoTextError, "no row has text"),
        ("a.jsonl", "no\nno\n", ExtractError, "no line of it is a JSON object"),
        ("a.csv", "a,b\n", NoTextError, "no row below the one that names the columns"),
        ("a.html", "<p> </p>", NoTextError, "no text in it"),
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
    found = chunk(extract("a.eml", letter.as_bytes()))
    assert [(c.heading, c.text.splitlines()) for c in found] == [
        (
            "Fwd",
            ["Subject: Fwd", "", "See below.", "", "From: zoe@example.org", "Subject: About pumps"]
            + ["", "The pump is old."],
        ),
        ("Fwd > rain.csv", ["day,mm", "1,40"]),
        ("Fwd", ["Attachments: rain.csv, a.pdf"]),
    ]


def test_what_of_a_file_is_passed_over_is_said_once(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.jsonl").write_text('{"text": "one"}\nbroken\n{"text": "three"}\n', "utf-8")
    deep = "<p>before</p>\n" + "<div>" * 3000 + "deep" + "</div>" * 3000
    (tmp_path / "d" / "b.html").write_text(deep, "utf-8")
    long = '{"text": "' + "word " * 100_000 + '"}\n'
    (tmp_path / "d" / "c.jsonl").write_text("[1]\n" + long * 6 + "2\n", "utf-8")
    words = ("index", "d", "--no-embed", "--db", "i.db")
    run = qrank(*words)
    assert run.stderr.splitlines() == [
        "qrank: left out of d/a.jsonl: 1 of 3 lines is no JSON object (line 2)",
        "qrank: left out of d/b.html: nested too deeply: the text from line 2 on is left out",
        "qrank: left out of d/c.jsonl: 2 of 8 lines are no JSON objects (line 1, …)",
    ]
    assert run.stdout.startswith("3 added;")
    assert qrank(*words).stderr == ""
    (tmp_path / "d" / "a.jsonl").write_text('{"text": "one"}\nbroken\n', "utf-8")
    [error] = qrank(*words, "--json").json()["errors"]
    assert error["reason"] == "1 of 2 lines is no JSON object (line 2)"
    assert error["partly"]
    shown = qrank("chunks", "d/a.jsonl", "--json")
    assert "left out of d/a.jsonl: 1 of 2 lines" in shown.stderr
    assert shown.json()["files"][0]["note"] == error["reason"]
    assert qrank("chunks", "d/a.jsonl", "--fields", "nope").stderr.endswith(
        "no row has text under nope; there are: text (--fields)\n"
    )
