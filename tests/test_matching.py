"""Regular expressions and literal texts, beside a query or alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT, Run, complaint

Qrank = Callable[..., Run]
PDF = ROOT / "tests" / "files" / "water.pdf"


@pytest.fixture
def words(tmp_path: Path, qrank: Qrank) -> tuple[object, ...]:
    """An index with 300 notes on tea, of which three have a number, and a PDF."""
    folder = tmp_path / "notes"
    folder.mkdir()
    for i in range(300):
        more = f" See ticket T-{i}." if i % 100 == 0 else ""
        (folder / f"{i:03}.md").write_text(f"Tea and cups.\nLine two.{more}\n", "utf-8")
    (folder / "water.pdf").write_bytes(PDF.read_bytes())
    assert qrank("index", folder, "--no-embed", "--db", "i.db").returncode == 0
    return ("--mode", "bm25", "--db", "i.db")


def test_without_a_query_it_is_a_grep(qrank: Qrank, words: tuple[object, ...]) -> None:
    run = qrank("search", "-E", r"T-\d+", "--format", "{path}:{line}:{column}", *words)
    assert run.stdout.splitlines() == [f"notes/{i:03}.md:2:22" for i in (0, 100, 200)]
    assert qrank("search", "-F", "T-1", "-l", *words).stdout == "notes/100.md\n"
    assert qrank("search", "-F", "T-1", "-E", "^Tea", "-l", *words).stdout == "notes/100.md\n"
    assert len(qrank("search", "-F", "Tea", "-l", *words).stdout.splitlines()) == 300
    nothing = qrank("search", "-F", "t-1", *words)
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert nothing.stderr == "qrank: nothing in the index matches t-1\n"
    said = qrank("search", "tea", "-F", "t-1", "-E", "x{2}", *words).stderr
    assert said == "qrank: nothing that was found matches x{2} and t-1\n"
    assert "nothing found with any of: zzz" in qrank("search", "zzz", "-F", "t-1", *words).stderr
    pdf = qrank("search", "-E", "(?i)water", "--type", "pdf", "--jsonl", *words).lines()
    assert {Path(hit["path"]).name for hit in pdf} == {"water.pdf"}
    for hit in pdf:
        assert {hit["text"][start:end].lower() for start, end in hit["matches"]} == {"water"}
        assert hit["score_kind"] == "match"


def test_a_query_is_answered_by_what_matches(qrank: Qrank, words: tuple[object, ...]) -> None:
    """However far down it is among the candidates."""
    for flags in (("-E", r"T-\d+"), ("-F", "ticket T-")):
        run = qrank("search", "tea", *flags, "-n", "3", "-l", *words)
        assert sorted(run.stdout.split()) == [f"notes/{i:03}.md" for i in (0, 100, 200)]


def test_no_pattern_hangs(qrank: Qrank, words: tuple[object, ...], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a" * 1000, "utf-8")
    qrank("index", "a.txt", "--no-embed", "--db", "i.db")
    run = qrank("search", "-E", "(a|a)*(a+)+$b", *words)
    assert run.returncode == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("-E", "["), "--regex '[' is not a valid regular expression: missing ]"),
        (("-E", "("), "regular expression: missing ): (;"),
        (("-E", r"(a)\1"), "no backreferences, no lookaround"),
        (("-E", "(?=a)"), "no backreferences, no lookaround"),
        (("-E", ""), "--regex is empty or too long"),
        (("-F", ""), "--literal is empty"),
    ],
)
def test_bad_patterns_are_explained(
    qrank: Qrank, words: tuple[object, ...], flags: tuple[str, ...], said: str
) -> None:
    assert said in complaint(qrank("search", *flags, *words))


def test_fields_alone_list_what_has_them(qrank: Qrank, tmp_path: Path) -> None:
    for name, tag in (("b", "hot"), ("a", "hot"), ("c", "cold")):
        (tmp_path / f"{name}.md").write_text(f"---\ntags: [{tag}]\n---\nTea.\n", "utf-8")
    qrank("index", tmp_path, "--no-embed", "--db", "i.db")
    for words in (("--where", "tags=hot"), ("tag:hot",), ("--where", "tags=hot", "-F", "Tea")):
        assert qrank("search", *words, "-l", "--db", "i.db").stdout == "a.md\nb.md\n"
