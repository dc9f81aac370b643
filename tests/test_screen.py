"""Results on a terminal: order, scores, counts and paths."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from support import SAMPLE, Run

Qrank = Callable[..., Run]

BM25 = ("--mode", "bm25")
RANK = re.compile(r"^ *(\d+)  (also )?", re.MULTILINE)


def test_ranks_are_those_of_json_and_those_of_files_ascend(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", "sourdough starter", *BM25, "-n", "12", "--db", sample_db)
    paths = [result["path"] for result in qrank(*words, "--jsonl").lines()]
    assert len(set(paths)) < len(paths)  # some file has several chunks
    for form in ((), ("--full",), ("-C", "1"), ("--explain",)):
        shown = [
            (int(rank), bool(also))
            for rank, also in RANK.findall(qrank(*words, *form).stdout)
            if form != ("--full",) or also or int(rank) <= len(paths)
        ]
        if form:
            assert {rank for rank, _ in shown} >= set(range(1, len(paths) + 1)), form
            continue
        assert sorted(rank for rank, _ in shown) == list(range(1, len(paths) + 1))
        files = [rank for rank, also in shown if not also]
        assert files == sorted(files)
        assert [paths[rank - 1] for rank in files] == list(dict.fromkeys(paths))


def test_scores_have_three_significant_digits(qrank: Qrank, tmp_path: Path) -> None:
    for i in range(4):
        (tmp_path / f"{i}.md").write_text(f"tea number {i}\n", "utf-8")
    qrank("index", ".", "--no-embed", "--db", "i.db")
    words = ("search", "tea", *BM25, "--db", "i.db")  # a word of every chunk scores next to nothing
    assert all(0 < hit["score"] < 1e-3 for hit in qrank(*words, "--jsonl").lines())
    assert re.match(r" 1  [1-9]\.\d\de-\d\d  ", qrank(*words).stdout)
    assert float(qrank(*words, "-n", "1", "--format", "{score}").stdout) > 0


def test_a_count_that_is_cut_says_so(qrank: Qrank, sample_db: Path) -> None:
    words = ("search", "tide", "--db", sample_db, "--count", "--no-rerank")
    assert qrank(*words).stdout == "100 or more\n"
    assert qrank(*words, "--type", "csv").stdout.strip().isdecimal()
    assert qrank(*words, *BM25).stdout.strip().isdecimal()


def test_paths_below_the_working_folder_are_relative(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "tea.md").write_text("Steep green tea.\n", "utf-8")
    qrank("index", "notes", SAMPLE / "howto", "--no-embed", "--db", "i.db")
    words = ("search", "steep green", *BM25, "--db", "i.db", "-n", "1")
    assert qrank(*words, "-l").stdout == "notes/tea.md\n"
    assert qrank(*words, "-0").stdout == "notes/tea.md\0"
    assert qrank(*words, "--format", "{path}:{line}").stdout == "notes/tea.md:1\n"
    assert qrank(*words, "--max-tokens", "99").stdout.startswith("[notes/tea.md:1-1]")
    assert qrank("similar", "notes/tea.md", *BM25, "--db", "i.db", "-l").stdout[:1] in ("/", "")
    assert qrank("status", "--db", "i.db").stdout.startswith("index        i.db (")
    assert qrank(*words, "--jsonl").lines()[0]["path"] == f"{tmp_path}/notes/tea.md"
    # What was printed is taken back.
    assert qrank(*words, "-l", "--path", "notes/tea.md").stdout == "notes/tea.md\n"
    elsewhere = qrank("search", "sourdough", *BM25, "--db", "i.db", "-l").stdout.splitlines()
    assert elsewhere
    assert all(path.startswith(str(SAMPLE)) for path in elsewhere)


def test_the_size_of_an_index_counts_its_log(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("tea\n", "utf-8")
    qrank("index", "a.md", "--no-embed", "--db", "i.db")
    size = qrank("status", "--db", "i.db", "--json").json()["bytes"]
    log = tmp_path / "i.db-wal"
    log.write_bytes(bytes(4096))  # SQLite ignores a log without a valid header
    assert qrank("status", "--db", "i.db", "--json").json()["bytes"] >= size + 4096


def test_one_is_not_several(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("tea\n", "utf-8")
    assert "; 1 chunk in i.db" in qrank("index", "a.md", "--no-embed", "--db", "i.db").stdout
    assert "default: 1 file\n" in qrank("status", "--db", "i.db").stdout
    assert (
        qrank("remove", "a.md", "--db", "i.db").stdout == "1 file removed; 0 chunks in the index\n"
    )
