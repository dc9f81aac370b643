"""Files as Windows and programs write them: line ends, byte order marks, escapes, colours,
pictures within text, invisible characters."""

from __future__ import annotations

import base64
import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import COMMAND, Run, extract

from qrank.errors import NoTextError
from qrank.ingest.chunk import chunk
from qrank.results import Chunk

Qrank = Callable[..., Run]
PICTURE = base64.b64encode(random.Random(1).randbytes(60_000)).decode()
ICON = base64.b64encode(random.Random(2).randbytes(90)).decode()


def chunks_of(name: str, data: str | bytes) -> list[Chunk]:
    return chunk(extract(name, data.encode() if isinstance(data, str) else data))


def found(qrank: Qrank, folder: Path, *queries: str) -> dict[str, list[str]]:
    """The names of the files that each query finds by words."""
    qrank("index", str(folder), "--no-embed", "--db", "i.db")
    runs = {
        query: qrank("search", "--mode", "bm25", "--db", "i.db", "-n50", "--jsonl", "--", query)
        for query in queries
    }
    return {
        query: sorted({Path(row["path"]).name for row in run.lines()})
        for query, run in runs.items()
    }


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_whatever_ends_them(end: str) -> None:
    texts = {
        "a.md": "---\ntitle: On kestrels\ntags: [falcon]\n---\n\n# Body\n\nx\n\n## Two\n\nkestrel",
        "a.txt": "one\n\ntwo\n\nkestrel\n",
        "a.rst": "One\n===\n\ntext\n\nTwo\n===\n\nkestrel\n",
        "a.html": "<h1>One</h1>\n<p>text</p>\n\n<p>kestrel</p>\n",
        "a.srt": "1\n00:00:01,000 --> 00:00:02,000\nthe kestrel\n\n",
        "a.csv": "a,b\n1,text\n2,kestrel\n",
        "a.jsonl": '{"text": "one"}\n{"text": "kestrel"}\n',
        "a.json": '{\n  "a": 1,\n  "b": "kestrel"\n}\n',
        "a.py": "def one():\n    pass\n\n\ndef two():\n    kestrel = 1\n" * 30,
    }
    for name, text in texts.items():
        document = extract(name, text.replace("\n", end).encode())
        line = text[: text.index("kestrel")].count("\n") + 1
        [first, *_] = [c for c in chunk(document) if "kestrel" in c.text]
        assert first.start_line <= line <= first.end_line, name
        if name == "a.md":
            assert (document.title, document.fields["tags"]) == ("On kestrels", ["falcon"])
            assert [b.heading for b in document.blocks][-1] == ("Body", "Two")
        if name == "a.rst":
            assert [b.heading for b in document.blocks][-1] == ("Two",)


def test_toml_front_matter_has_windows_line_ends() -> None:
    document = extract("a.md", b'+++\r\ntitle = "On kestrels"\r\n+++\r\n\r\ntext\r\n')
    assert document.title == "On kestrels"
    assert chunk(document)[0].text.endswith("text")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_queries_and_lines_may_begin_with_a_byte_order_mark(
    qrank: Qrank, tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.md").write_text("Turmfalke\n", "utf-8")
    qrank("index", "d", "--no-embed", "--db", "i.db")
    words = ("--mode", "bm25", "--no-rerank", "--db", "i.db")
    for text in ("Turmfalke\n", '{"query": "Turmfalke"}\n'):
        (tmp_path / "q.txt").write_bytes(text.encode(encoding))
        [answer] = qrank("search", "--queries", "q.txt", *words).lines()
        assert (answer["query"], len(answer["results"])) == ("Turmfalke", 1)
    run = subprocess.run(
        [COMMAND, "rerank", "tide", "-n", "1"],
        input="high tide\nan owl\n".encode(encoding),
        capture_output=True,
        check=True,
    )
    assert run.stdout.decode().split("\t")[1] == "high tide\n"


def test_a_query_from_windows_has_no_byte_order_mark(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Turmfalke\n", "utf-8")
    qrank("index", "a.md", "--no-embed", "--db", "i.db")
    words = [COMMAND, "search", "-", "--mode", "bm25", "--db", "i.db", "--json"]
    run = subprocess.run(
        words, input="\ufeffTurmfalke\n".encode(), capture_output=True, cwd=tmp_path, check=True
    )
    assert json.loads(run.stdout)["query"].strip() == "Turmfalke"


def test_settings_may_begin_with_a_byte_order_mark(qrank: Qrank, tmp_path: Path) -> None:
    place = Path(qrank("config", "path").stdout.strip())
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text('collection = "birds"\n', "utf-8-sig")
    assert qrank("config", "get", "collection").stdout.strip() == "birds"


def test_escapes_in_json_are_what_they_mean(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    data = {"name": "Škoda", "note": 'first\nsecond "quoted" \U0001f985'}
    (tmp_path / "d" / "a.json").write_text(json.dumps(data, indent=1), "utf-8")
    [made] = chunks_of("a.json", json.dumps(data, indent=1))
    assert made.text.split("\n")[1:4] == [
        *(' "name": "Škoda",', ' "note": "first', 'second "quoted" \U0001f985"'),
    ]
    assert (made.start_line, made.end_line) == (1, 4)
    broken = chunks_of("b.json", '{"a": "x\\u12", "b": "\\u00e9",\n  // comment\n')
    assert broken[0].text == '{"a": "x\\u12", "b": "é",\n  // comment'
    assert found(qrank, tmp_path / "d", "Škoda", "second", "nsecond") == {
        "Škoda": ["a.json"],
        "second": ["a.json"],
        "nsecond": [],
    }


def test_a_cell_may_be_quoted_after_a_blank() -> None:
    made = chunks_of("a.csv", 'id, note\n1, "kestrel, quoted"\n2, merlin\n3, "two\nlines"\n')
    assert [(c.text, c.start_line, c.end_line) for c in made] == [
        ("id: 1\nnote: kestrel, quoted", 2, 2),
        ("id: 2\nnote: merlin", 3, 3),
        ("id: 3\nnote: two\nlines", 4, 5),
    ]
    made = chunks_of("a.csv", 'id, size\n1, 5" pipe\n2, "6 inch" pipe\n3, x\n')
    assert made[0].text == 'id: 1\nsize: 5" pipe'


def test_the_only_row_of_a_table_is_its_text() -> None:
    assert [(c.text, c.start_line) for c in chunks_of("a.csv", "kestrel,York\n")] == [
        ("kestrel, York", 1)
    ]


def test_notebooks_show_what_their_cells_showed() -> None:
    shown = [
        {
            "text/plain": "<IPython.core.display.Markdown object>",
            "text/markdown": ["**kestrel** 12"],
        },
        {
            "text/plain": ["<pandas.io.Styler at 0x7f2>"],
            "text/html": "<p>Table of <b>mer</b>lins</p>",
        },
        {"text/plain": "a  b\n0  1", "text/html": "<table>"},
        {"text/latex": ["$\\text{hobby}$"]},
    ]
    outputs: list[object] = [{"output_type": "display_data", "data": data} for data in shown]
    outputs.append({"output_type": "stream", "text": "10%\r100%\r\n\x1b[31mfai\x1b[1mled\x1b[0m"})
    cells = [
        {"cell_type": "markdown", "source": "Results\n=======\n\nosprey\n\nMore\n----\n\ntext"},
        {"cell_type": "code", "source": "run()", "outputs": outputs},
    ]
    made = chunks_of("a.ipynb", json.dumps({"cells": cells}))
    assert [c.heading for c in made] == ["Results"]
    assert made[0].text.split("\n\n") == [
        *("# Results", "osprey", "## More", "text", "run()", "kestrel** 12".rjust(14, "*")),
        *("Table of merlins", "a  b\n0  1", "$\\text{hobby}$", "100%\nfailed"),
    ]


def test_a_null_in_a_notebook_costs_itself() -> None:
    good = {"cell_type": "code", "source": "kestrel", "outputs": None}
    odd = [None, {"cell_type": "code", "source": None, "outputs": [None, {"data": None}]}, 7]
    odd += [{"cell_type": "markdown"}, {"cell_type": "heading", "level": None, "source": ["One"]}]
    document = extract("a.ipynb", json.dumps({"cells": [*odd, good], "metadata": None}).encode())
    assert document.text == "# One\n\nkestrel"
    assert document.note == "2 of 6 cells can't be read"


def test_a_truncated_notebook_is_read_up_to_there() -> None:
    cell = {"cell_type": "code", "source": "kestrel"}
    data = json.dumps({"cells": [cell, cell]})[:-20].encode()
    document = extract("a.ipynb", data)
    assert document.text == "kestrel"
    assert document.note == f"truncated at byte {len(data)}: only the 1 cells before are read"


def test_pictures_within_text_are_no_words(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    text = f"# Pic\n\nkestrel before\n\n![x](data:image/png;base64,{PICTURE})\n\nmerlin after\n"
    icon = f"hobby ![y](data:image/png;base64,{ICON}) lanner\n"
    (tmp_path / "d" / "note.md").write_text(text + icon, "utf-8")
    page = f'<p>kestrel <img src="data:image/png;base64,{PICTURE}" alt="a falcon"> data</p>'
    (tmp_path / "d" / "page.html").write_text(page, "utf-8")
    (tmp_path / "d" / "rows.jsonl").write_text(json.dumps({"text": text}), "utf-8")
    raw = (tmp_path / "d" / "note.md").read_bytes()
    made = chunks_of("note.md", raw)
    assert [c.text.partition("(data")[0] for c in made] == [
        *("# Pic\n\nkestrel before\n\n![x]", "merlin after\nhobby ![y]"),
    ]
    assert all(raw[c.start_byte : c.end_byte].decode() == c.text for c in made)
    pieces = [f'"{max(re.split("[+/]", data), key=len)}"' for data in (PICTURE[:500], ICON)]
    words = ("kestrel", "merlin", "falcon", *pieces)
    assert list(found(qrank, tmp_path / "d", *words).values()) == [
        *(["note.md", "page.html", "rows.jsonl"], ["note.md", "rows.jsonl"], ["page.html"]),
        *([], []),
    ]
    shown = qrank("search", "--mode", "bm25", "--db", "i.db", "--full", "lanner")
    assert "hobby ![y]() lanner" in shown.stdout
    assert ICON[:20] in qrank("search", "--mode", "bm25", "--db", "i.db", "--json", "lanner").stdout


def test_words_are_whole_and_the_text_is_the_file_s(qrank: Qrank, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    texts = {
        "shy.txt": "Antrag auf Reisekosten\u00aderstattung\n",
        "shy.html": "<p>Reise&shy;kosten&shy;erstattung</p>",
        "shy.md": "Reise\u00ad\nkosten\u00aderstattung",
        "log.txt": "12:00 \x1b[31mfai\x1b[1mled\x1b[0m to load\n\x1b]0;title\x07b\x08bo\x08old\n",
        "zero.txt": "Wort\u2060ver\u200bbinder und Mal\u200deingabe \ufeffmark\n",
        "indic.txt": "क्\u200dष का\n",
        "persian.txt": "می\u200cخواهم\n",
        "name.txt": "葛\U000e0100城市\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    words = {
        "Reisekostenerstattung": ["shy.html", "shy.md", "shy.txt"],
        '"Reisekosten\u00aderstattung"': ["shy.html", "shy.md", "shy.txt"],
        "failed": ["log.txt"],
        "bold": ["log.txt"],
        "31mfai": [],
        "Wortverbinder": ["zero.txt"],
        "Maleingabe": ["zero.txt"],
        "mark": ["zero.txt"],
        "क्ष": ["indic.txt"],
        "خواهم": ["persian.txt"],
        "می\u200cخواهم": ["persian.txt"],
        "葛城市": ["name.txt"],
    }
    assert found(qrank, folder, *words) == words
    for name in ("shy.txt", "log.txt", "zero.txt", "shy.md"):
        data = (folder / name).read_bytes()
        [row] = chunks_of(name, data)
        assert data[row.start_byte : row.end_byte].decode() == row.text
    shown = qrank("search", "--mode", "bm25", "--db", "i.db", "failed").stdout
    assert "12:00 failed to load" in shown
    shown = qrank("search", "--mode", "bm25", "--db", "i.db", "Reisekostenerstattung").stdout
    assert "Antrag auf Reisekostenerstattung" in shown


def test_pictures_of_text_in_notebooks_are_read_and_other_data_is_counted() -> None:
    shown = [
        {"image/svg+xml": ["<svg><text>merlin</text>", "<text>hobby</text></svg>"]},
        {"application/vnd.plotly.v1+json": {}}, {"application/vnd.plotly.v1+json": {}},
        {"image/png": "AAAA"}, {"application/vnd.jupyter.widget-view+json": {}},
    ]  # fmt: skip
    cell = {"cell_type": "code", "source": "x", "outputs": [{"data": data} for data in shown]}
    document = extract("a.ipynb", json.dumps({"cells": [cell]}).encode())
    assert document.text.split() == ["x", "merlin", "hobby"]
    assert document.note == "2 application/vnd.plotly.v1+json outputs"


def test_xml_is_read_in_the_encoding_that_it_names() -> None:
    data = '<?xml version="1.0" encoding="windows-1251"?><a>Привет мир</a>'.encode("cp1251")
    assert "Привет мир" in extract("a.xml", data).text


WITH_NULS = {
    "a.csv": "id,name\n1,tea\n2,a \0 zander\n",
    "b.txt": "Some text\nwith a stray \0 zander\n",
    "c.log": "Jan 1 boot\n" * 20 + "\0" * 20_000 + "Feb 3 zander\n" * 9,
    "d.log": "\0" * 9000 + "Jan 2 zander\n" * 9,
    "e.jsonl": '{"text": "tea"}\n{"text": "the zander\0"}\n',
    "f.json": '{"text": "the zander\0"}',
    "g.md": "# Head\n\nzander\0\n",
    "h.srt": "1\n00:00:01,000 --> 00:00:02,000\nZander\0\n",
    "i.html": "<html><body><p>zander \0 there</body></html>",
    "j.py": "def f():\n    return 'zander \0'\n",
    "k.bib": "@book{a, title={Zander \0}}\n",
    "l.ics": "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Zander \0\nEND:VEVENT\nEND:VCALENDAR\n",
    "m.po": 'msgid "a \0b"\nmsgstr "zander"\n',
    "n.tex": "\\section{A}\nzander \0\n",
    "o.1": ".TH A 1\n.SH NAME\nzander \0\n",
    "p.ipynb": '{"cells":[{"cell_type":"markdown","source":["zander \0"]}],"nbformat":4}',
    "q.eml": "Subject: x\nFrom: a@b.c\nReceived: now\n\nThe zander \0 came.\n",
    "r.txt": "wörd " * 3000 + "zan\0 zander\n",  # beyond what shows the encoding
    "s.txt": "Der Zander schläft.\n" * 9 + "\0",
}


def test_a_few_nuls_do_not_make_a_text_binary(tmp_path: Path, qrank: Qrank) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name, text in WITH_NULS.items():
        encoding = "cp1252" if name == "s.txt" else "utf-8"
        (folder / name).write_bytes(text.encode(encoding))
    assert found(qrank, folder, "zander") == {"zander": sorted(WITH_NULS)}
    made = chunks_of("b.txt", WITH_NULS["b.txt"])
    assert [(each.text, each.start_byte, each.end_byte) for each in made] == [
        ("Some text\nwith a stray   zander", 0, 31)
    ]


@pytest.mark.parametrize(
    "data",
    [
        Path(sys.executable).read_bytes(),
        bytes(range(256)) * 9,
        b"name\0\0\0\0\0\0town\0\0\0\0\0\0" * 50,
        b"GIF89a\1\0\1\0",
        b"SQLite format 3\0\x10\0\1\1\0@  " + b"\0" * 70,
        b"notes.txt".ljust(257, b"\0") + b"ustar\x0000" + b"\0" * 247 + b"words " * 2000,
    ],
)
def test_binary_files_are_still_skipped(data: bytes) -> None:
    with pytest.raises(NoTextError, match="binary file"):
        extract("a.dump", data)
