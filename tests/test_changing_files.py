"""Files that change while they are read, or without a change of size and time."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support import Run

import qrank as library
from qrank.ingest.prepare import IN_MEMORY
from qrank.store import open_store

Qrank = Callable[..., Run]
no_ctime = pytest.mark.skipif(os.name == "nt", reason="Windows has no such time")


def rewrite(path: Path, text: str) -> None:
    """Another content of the same size, with the times of before."""
    before = path.stat()
    assert len(text.encode()) == before.st_size
    path.write_text(text, "utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@no_ctime
def test_an_edit_that_keeps_size_and_time_is_seen(qrank: Qrank, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    path = notes / "a.md"
    path.write_text("the kestrel\n", "utf-8")
    (notes / "blob").write_bytes(b"\0\0\0\n")  # without text: skipped
    words = ("--db", "i.db", "--no-embed")
    qrank("index", "notes", *words)
    rewrite(path, "the buzzard\n")
    rewrite(notes / "blob", "owl\n")
    stale = qrank("search", "kestrel", "--mode", "bm25", "--db", "i.db", "--json").json()
    assert [result["stale"] for result in stale["results"]] == [True]
    counts = qrank("index", "notes", *words, "--json").json()["files"]
    assert (counts["updated"], counts["added"], counts["unchanged"]) == (1, 1, 0)
    assert qrank("search", "buzzard", "--mode", "bm25", "--db", "i.db", "-l").stdout
    assert qrank("search", "owl", "--mode", "bm25", "--db", "i.db", "-l").stdout
    path.chmod(0o600)  # its ctime is new, its content is not: read, but not indexed again
    counts = qrank("index", "notes", *words, "--json").json()["files"]
    assert (counts["updated"], counts["unchanged"]) == (0, 2)


@no_ctime
def test_an_older_index_learns_the_times_in_its_next_run(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("the kestrel\n", "utf-8")
    words = ("index", "a.md", "--db", "i.db", "--no-embed", "--json")
    qrank(*words)
    with closing(sqlite3.connect(tmp_path / "i.db")) as connection, connection:
        connection.execute("UPDATE file SET ctime_ns = 0")
    assert qrank(*words).json()["files"]["unchanged"] == 1
    rewrite(tmp_path / "a.md", "the buzzard\n")
    assert qrank(*words).json()["files"]["updated"] == 1


def test_a_long_text_that_grows_while_it_is_read_costs_only_itself(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    growing = notes / "b.log"
    growing.write_text("a line of the log\n" * (IN_MEMORY // 9), "utf-8")
    for name in ("a.md", "c.md"):
        (notes / name).write_text(f"the tide of {name}\n", "utf-8")
    done = threading.Event()

    def grow() -> None:
        with growing.open("a") as log:
            while not done.wait(0.001):
                log.write("one more line\n")
                log.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        with library.Index(tmp_path / "i.db") as index:
            report = index.add(notes, embed=False)
            found = index.search("tide", mode="bm25")
    finally:
        done.set()
        writer.join()
    assert [(p.path, p.reason) for p in report.errors] == [
        (str(growing), "it changed while being read")
    ]
    assert (report.added, report.failed) == (2, 1)
    assert [Path(result.path).name for result in found.results] == ["a.md", "c.md"]
    with library.Index(tmp_path / "i.db") as index:  # when it rests, it is read
        assert index.add(notes, embed=False).added == 1


def test_vectors_are_found_by_their_passage(tmp_path: Path) -> None:
    """Removing unique texts is not a scan of all vectors each."""
    with open_store(tmp_path / "i.db", write=True) as store:
        plan = store._rows(
            "EXPLAIN QUERY PLAN DELETE FROM vector WHERE passage_id = 1 RETURNING slot",
            types=(int, int, int, str),
        )
    assert "idx_vector_passage_id" in json.dumps(plan)


def test_a_search_says_that_some_vectors_are_missing(qrank: Qrank, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.md").write_text(f"the tide {name}\n", "utf-8")
    qrank("index", "a.md", "--db", "i.db")
    qrank("index", "b.md", "c.md", "--db", "i.db", "--no-embed")
    note = "2 of 3 chunks have no vector yet (run qrank index)"
    for words in (["tide"], ["tide", "--mode", "vector"], ["zeppelin", "--collection", "none"]):
        assert note in qrank("search", *words, "--db", "i.db").stderr, words
    assert note not in qrank("search", "tide", "--mode", "bm25", "--db", "i.db").stderr
    qrank("index", "b.md", "--db", "i.db")
    assert "no vector" not in qrank("search", "tide", "--db", "i.db").stderr
