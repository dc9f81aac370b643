"""qrank status PATH: whether a file or folder is indexed, and why not."""

from __future__ import annotations

import os
import subprocess
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import Run, complaint

from qrank.indexing.file_status import path_status
from qrank.results import Signature
from qrank.settings import Walking
from qrank.store import open_store
from qrank.store.interface import NewDocument

Qrank = Callable[..., Run]
FILES = Path(__file__).parent / "files"


@pytest.fixture
def notes(qrank: Qrank, tmp_path: Path) -> Path:
    """A folder with a file for each reason, indexed with vectors."""
    top = tmp_path / "notes"
    for name in ("a.md", "x.log", "build/in/b.md", ".hidden.md", "sub/c.md", "sub/keep.log"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(f"# Tea\n\nSteep {name} for two minutes.\n", "utf-8")
    (top / ".gitignore").write_text("# what programs write\n*.log\nbuild/\n", "utf-8")
    (top / "sub" / ".ignore").write_text("!keep.log\n", "utf-8")
    (top / "key.md").write_text("-----BEGIN RSA PRIVATE KEY-----\nabc\n", "utf-8")
    (top / "server.pem").write_text("x\n", "utf-8")
    (top / "picture.png").write_bytes(b"\x89PNG\r\n")
    (top / "broken.docx").write_bytes(b"PK\3\4 no more")
    (top / "lines.jsonl").write_text('{"text": "one two"}\nnot json\n', "utf-8")
    (top / "large.md").write_text("tea " * 9_000_000, "utf-8")
    (top / "link.md").symlink_to("../elsewhere.md")
    os.mkfifo(top / "fifo")
    assert qrank("index", "notes", "--db", "i.db").returncode == 0
    return top


def status(qrank: Qrank, path: object, **more: Any) -> Any:
    run = qrank("status", path, "--json", "--db", "i.db", **more)
    assert run.returncode == 0, run
    return run.json()


def test_a_file_that_was_indexed(qrank: Qrank, notes: Path) -> None:
    said = status(qrank, "notes/a.md")
    [indexed] = said["indexed"]
    assert indexed.pop("indexed_at").startswith("20")
    assert (indexed.pop("collection"), indexed.pop("title")) == ("default", "Tea")
    assert indexed == {"chunks": 1, "embedded": 1, "partly": None}
    assert (said["path"], said["status"], said["reason"]) == (str(notes / "a.md"), "indexed", None)
    assert (said["kind"], said["format"], said["stale"]) == ("file", "markdown", False)
    shown = qrank("status", "notes/a.md", "--db", "i.db").stdout.splitlines()
    assert shown[1].endswith("in default, as markdown: 1 chunk, 1 embedded")
    (notes / "a.md").write_text("Other.\n", "utf-8")
    assert status(qrank, "notes/a.md")["stale"]
    assert "stale" in qrank("status", "notes/a.md", "--db", "i.db").stdout
    (notes / "a.md").unlink()
    assert status(qrank, "notes/a.md")["stale"]


def test_a_file_that_was_read_in_part(qrank: Qrank, notes: Path) -> None:
    partly = status(qrank, "notes/lines.jsonl")["indexed"][0]["partly"]
    assert "line" in partly
    assert partly in qrank("status", "notes/lines.jsonl", "--db", "i.db").stdout
    qrank("index", "notes", "--db", "i.db")  # which does not read it again
    assert status(qrank, "notes/lines.jsonl")["indexed"][0]["partly"] == partly


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x.log", "ignored by {}/.gitignore:2: *.log"),
        ("build", "{}/.gitignore:3: build/"),
        ("build/in/b.md", "{}/build: ignored by {}/.gitignore:3: build/"),
        (".hidden.md", "hidden (--hidden reads it)"),
        (".gitignore", "hidden"),
        ("key.md", "a private key (--include-secrets indexes it)"),
        ("server.pem", "a private key (--include-secrets indexes it)"),
        ("picture.png", "binary file"),
        ("large.md", "larger than 32 MiB"),
        ("fifo", "not a regular file"),
        ("broken.docx", ""),
    ],
)
def test_what_keeps_a_file_out(qrank: Qrank, notes: Path, name: str, reason: str) -> None:
    said = status(qrank, f"notes/{name}")
    assert said["status"] == "skipped"
    assert reason.replace("{}", str(notes)) in said["reason"]
    assert said["reason"]
    assert said["reason"] in qrank("status", f"notes/{name}", "--db", "i.db").stdout


def test_what_a_rule_keeps_and_what_is_new(qrank: Qrank, notes: Path) -> None:
    assert status(qrank, "notes/sub/keep.log")["status"] == "indexed"
    (notes / "sub" / "new.md").write_text("Tea.\n", "utf-8")
    assert status(qrank, "notes/sub/new.md")["reason"] == "not indexed yet (qrank index)"
    (notes / "sub" / "new.log").write_text("Tea.\n", "utf-8")
    run = qrank("status", "sub/new.log", "--db", "../i.db", cwd=notes)
    assert ".gitignore:2: *.log" in run.stdout
    elsewhere = notes.parent / "elsewhere.md"
    elsewhere.write_text("Tea.\n", "utf-8")
    assert status(qrank, "notes/link.md")["path"] == str(elsewhere)
    said = complaint(qrank("status", "notes/none.md", "--db", "i.db"))
    assert "notes/none.md does not exist and is not in the index" in said


def test_a_folder_counts_by_reason(qrank: Qrank, notes: Path) -> None:
    (notes / "sub" / "new.md").write_text("Tea.\n", "utf-8")
    (notes / "a.md").write_text("Other.\n", "utf-8")
    said = status(qrank, "notes")
    assert (said["kind"], said["status"], said["reason"]) == ("folder", "indexed", None)
    assert (said["files"], said["partly"], said["stale"]) == (4, 1, 1)
    assert said["embedded"] == said["chunks"] >= 4
    reasons = {each["reason"]: (each["files"], each["folders"]) for each in said["skipped"]}
    rules = f"{notes}/.gitignore"
    assert reasons[f"ignored by {rules}:2: *.log"] == (1, 0)
    assert reasons[f"ignored by {rules}:3: build/"] == (0, 1)
    assert reasons["a private key (--include-secrets indexes it)"] == (2, 0)
    assert reasons["not indexed yet (qrank index)"] == (1, 0)
    assert reasons["binary file"] == (1, 0)
    assert len(reasons) >= 9
    shown = qrank("status", "notes", "--db", "i.db").stdout
    assert "indexed      4 files: " in shown
    assert "skipped      1 folder: ignored by" in shown
    sub = status(qrank, "notes/sub")
    assert (sub["files"], [each["reason"] for each in sub["skipped"]]) == (
        2,
        ["hidden (--hidden reads it)", "not indexed yet (qrank index)"],
    )


def test_a_repository_s_own_rules_are_named(qrank: Qrank, tmp_path: Path) -> None:
    top = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", top], check=True)
    (top / ".git/info/exclude").write_text("*.tmp\n", "utf-8")
    for name in ("a.md", "b.tmp"):
        (top / name).write_text("Tea.\n", "utf-8")
    assert qrank("index", "repository", "--no-embed", "--db", "i.db").returncode == 0
    said = status(qrank, "repository/b.tmp")["reason"]
    assert said == f"ignored by {top}/.git/info/exclude:1: *.tmp"


def test_a_skipped_file_that_is_named_has_its_reason_said_each_time(
    qrank: Qrank, notes: Path
) -> None:
    words = ("index", "--no-embed", "--db", "i.db")
    for _ in range(2):
        run = qrank(*words, "notes/a.md", "notes/picture.png", "notes/server.pem")
        assert "picture.png: binary file" in run.stderr
        assert "server.pem" in run.stderr
    assert "picture.png" not in qrank(*words, "notes").stderr
    said = qrank(*words, "notes", "-v").stderr
    assert all(name in said for name in ("picture.png", "server.pem", "key.md", "broken.docx"))
    many = []
    for number in range(15):
        (notes / f"{number}.png").write_bytes(b"\x89PNG")
        many.append(f"notes/{number}.png")
    assert qrank(*words, "notes/a.md", *many).stderr.count("binary file") == 15


def test_a_deleted_folder_is_a_folder_and_a_file_is_listed_with_each_collection(
    qrank: Qrank, tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.md").write_text("Tea.\n", "utf-8")
    for name in ("one", "two"):
        words = ("index", "notes", "--no-embed", "--collection", name, "--db", "i.db")
        assert qrank(*words).returncode == 0
    said = status(qrank, "notes")
    assert (said["kind"], said["files"], said["chunks"], said["stale"]) == ("folder", 1, 2, 0)
    (tmp_path / "notes/a.md").unlink()
    (tmp_path / "notes").rmdir()
    said = status(qrank, "notes")
    assert (said["kind"], said["status"], said["stale"]) == ("folder", "indexed", 1)
    said = status(qrank, "notes/a.md")
    assert (said["kind"], said["stale"]) == ("file", True)
    assert [entry["collection"] for entry in said["indexed"]] == ["one", "two"]


def test_memory_does_not_grow_with_the_index(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "new.md").write_text("Tea.\n", "utf-8")

    def peak() -> int:
        with closing(open_store(path)) as store:
            tracemalloc.start()
            assert path_status(store, str(folder), Walking()).files == count
            assert path_status(store, str(folder / "new.md"), Walking()).reason
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return most

    peaks = []
    for count in (500, 5000):
        with closing(open_store(path, write=True)) as store, store.transaction():
            for i in range(count):
                empty = (Signature(1, 2), b"h", "A title", "1", ())
                store.add_document(NewDocument("default", f"{folder}/{i}.md", *empty))
        peaks.append(peak())
    assert peaks[1] < peaks[0] + 300_000
