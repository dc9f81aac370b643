"""References to results: ids, numbers of the last search, pasted places, verified citations."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import COMMAND, ROOT, Run, complaint

Qrank = Callable[..., Run]
LINES = "\n".join(f"Line {n} is about kestrels." for n in range(1, 31))
NOTE = f"# Birds\n\n{LINES}\n\n## Owls\n\nAn owl at night.\n\n## Again\n\nAn owl at night.\n"
PDF = ROOT / "tests" / "files" / "water.pdf"


@pytest.fixture
def note(qrank: Qrank, tmp_path: Path) -> Path:
    path = tmp_path / "notes" / "birds.md"
    path.parent.mkdir()
    path.write_text(NOTE, "utf-8")
    (tmp_path / "notes" / "b.md").write_text("An owl at night.\n", "utf-8")
    (tmp_path / "water.pdf").write_bytes(PDF.read_bytes())
    assert qrank("index", tmp_path, "--no-embed", "--db", "i.db").returncode == 0
    return path


def hits(qrank: Qrank, query: str, db: str = "i.db") -> list[dict[str, object]]:
    return qrank("search", query, "--mode", "bm25", "--db", db, "--jsonl").lines()


def test_ids_are_of_the_text_in_its_place(qrank: Qrank, note: Path) -> None:
    before = {
        (hit["path"], hit["text"], hit["start_byte"]): hit["id"] for hit in hits(qrank, "owl")
    }
    assert len(set(before.values())) == len(before) == 2
    assert not any(str(id).isdecimal() for id in before.values())
    qrank("index", note.parent, "--no-embed", "--db", "other.db")
    assert {hit["id"] for hit in hits(qrank, "owl", "other.db")} == set(before.values())
    # The text stays, what is before it in the file is new.
    note.write_text("New words on top.\n\n" + NOTE, "utf-8")
    qrank("index", note.parent, "--no-embed", "--db", "i.db")
    owls = [hit for hit in hits(qrank, "owl") if hit["text"] != NOTE]
    assert {hit["id"] for hit in owls} == set(before.values())
    for hit in owls:
        assert qrank("get", hit["id"], "--db", "i.db").stdout == f"{hit['text']}\n"


def test_lines_pages_and_globs(qrank: Qrank, note: Path) -> None:
    def got(*words: object) -> str:
        return qrank("get", *words, "--db", "i.db").stdout

    assert got("notes/birds.md:3-5") == "".join(f"{line}\n" for line in NOTE.split("\n")[2:5])
    assert got(f"{note}:4") == "Line 2 is about kestrels.\n"
    assert got("notes/birds.md") == NOTE
    assert got("notes/birds.md:4:7", "--around", 1) == got("notes/birds.md:3-5")
    [owl] = [hit for hit in hits(qrank, "owl") if "b.md" in str(hit["path"])]
    assert got(owl["id"], "--around", 20) == "An owl at night.\n"
    both = got("notes/b*.md")
    assert "An owl at night.\n" in both
    assert "Line 30" in both
    page = got("water.pdf#page=1")
    assert page.strip()
    assert page == got("water.pdf:1-3 (page 1)")
    assert "Line 1 " in got("notes/birds.md", "--max-tokens", "300")
    assert "Line 30" not in got("notes/birds.md", "notes/birds.md", "--max-tokens", "20")
    for place, said in (
        ("notes/birds.md:900-901", "has no text at :900-901; it has lines 1 to "),
        ("notes/birds.md:9-3", "line 3 comes before line 9"),
        ("notes/birds.md#page=2", "has no text at #page=2; it has no pages"),
        ("water.pdf#page=99", "it has pages 1 to "),
        ("notes/none*.md", "no indexed file matches"),
        ("notes/none.md:3", "is not in the index"),
        ("caaaaaaaaaaa", "there is no chunk"),
        ("1", "no search was made in this terminal"),
    ):
        assert said in complaint(qrank("get", place, "--db", "i.db"))


def test_a_pasted_place_is_opened_and_compared(qrank: Qrank, note: Path) -> None:
    assert qrank("open", "notes/birds.md:3-9").stdout == "notes/birds.md:3\n"
    assert qrank("open", "water.pdf:1-3 (page 1)").stdout == "water.pdf:1\n"
    assert qrank("open", "water.pdf:1-3 (slide 1)").stdout == "water.pdf:1\n"
    for words in (("get", "notes", "--db", "i.db"), ("open", "notes")):
        assert f"{words[1]} is a folder" in complaint(qrank(*words))
    assert "the place is empty" in complaint(qrank("get", "", "--db", "i.db"))
    same = qrank("similar", "notes/b.md:1-6", "--mode", "bm25", "--db", "i.db", "-l")
    assert same.stdout == "notes/birds.md\n"


def test_places_in_formats_with_pages_are_pages(qrank: Qrank, note: Path, tmp_path: Path) -> None:
    (tmp_path / "pages.txt").write_text("One of kestrels.\n\fTwo, of falcons.\n", "utf-8")
    qrank("index", "pages.txt", "--no-embed", "--db", "i.db")
    ask = ("search", "chapel", "--mode", "bm25", "--db", "i.db")
    found = qrank(*ask, "--max-tokens", "900").stdout
    assert "[water.pdf#page=1]" in found
    assert "water.pdf:" not in found
    several = qrank("get", "water.pdf", "notes/b.md", "pages.txt", "--db", "i.db").stdout
    for head in ("water.pdf#page=1\n", "notes/b.md:1\n", "pages.txt:1\n"):
        assert head in several
    place = several.splitlines()[0]
    assert qrank("get", place, "--db", "i.db").returncode == 0


def test_citations_are_verified(qrank: Qrank, note: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,city\ntram,Porto\nbus,Lisbon\n", "utf-8")
    qrank("index", "t.csv", "--no-embed", "--db", "i.db")
    places = ("notes/birds.md:10-12", "water.pdf", "t.csv")
    cited = qrank("get", *places, "--jsonl", "--db", "i.db").stdout
    lines = [json.loads(line) for line in cited.splitlines()]
    assert lines[0]["text"].startswith("Line 8")
    assert lines[0]["hash"] != lines[1]["hash"]
    run = qrank("verify", stdin=cited)
    assert run.returncode == 0
    assert {item["status"] for item in run.lines()} == {"same"}
    for words in (("get", *places), ("search", "chapel", "--mode", "bm25")):
        document = qrank(*words, "--json", "--db", "i.db")
        run = qrank("verify", stdin=document.stdout)
        assert {item["status"] for item in run.lines()} == {"same"}
        assert len(run.lines()) == len(
            document.json().get("chunks", document.json().get("results"))
        )
    note.write_text("Something new.\n" + NOTE, "utf-8")
    moved = qrank("verify", stdin=cited).lines()[0]
    assert (moved["status"], moved["start_byte"]) == ("moved", lines[0]["start_byte"] + 15)
    note.write_text(NOTE.replace("Line 9", "line nine"), "utf-8")
    (tmp_path / "water.pdf").unlink()
    run = qrank("verify", stdin=cited)
    assert run.returncode == 1
    assert [item["status"] for item in run.lines()][:2] == ["changed", "gone"]
    for bad in (
        "x",
        "[]",
        '{"results": [{"path": "a"}]}',
        '{"path": "a"}',
        '{"path": 1, "start_byte": 0, "end_byte": 1, "hash": ""}',
    ):
        assert "stdin, line 1: not a citation" in complaint(qrank("verify", stdin=bad + "\n"))


def test_results_say_where_the_words_are(qrank: Qrank, note: Path) -> None:
    for hit in hits(qrank, "owls"):
        text = str(hit["text"])
        assert {text[start:end].lower() for start, end in hit["matches"]} <= {"owl", "owls"}  # type: ignore[attr-defined]
        assert hit["matches"]


def test_numbers_mean_the_last_search_of_a_terminal(
    qrank: Qrank, note: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    found = hits(qrank, "kestrels owl")
    master, slave = pty.openpty()
    try:

        def run(words: str) -> str:
            script = f"{COMMAND} search 'kestrels owl' --mode bm25 --db i.db >/dev/null; {words}"
            done = subprocess.run(
                ["sh", "-c", script],
                cwd=tmp_path,
                env=environment,
                stdin=slave,
                stdout=subprocess.PIPE,
                stderr=slave,
                text=True,
                check=False,
            )
            return done.stdout

        assert run(f"{COMMAND} get 2") == f"{found[1]['text']}\n"
        place = f"{os.path.relpath(str(found[0]['path']), tmp_path)}:{found[0]['start_line']}\n"
        assert run(f"{COMMAND} open 1") == place
        assert run(f"{COMMAND} get 99") == ""
    finally:
        os.close(master)
        os.close(slave)
