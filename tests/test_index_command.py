"""qrank index, through the installed command."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import model_server
import pytest
from support import COMMAND, Run, complaint, wait_until

Qrank = Callable[..., Run]
FILES = Path(__file__).parent / "files"
COUNTS = ("added", "updated", "unchanged", "removed", "skipped", "failed")


def counts(run: Run) -> dict[str, int]:
    report = run.json()
    assert report["schema"] == 1
    assert set(report["files"]) == set(COUNTS)
    return {name: count for name, count in report["files"].items() if count}


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    (folder / "tea.md").write_text("# Tea\n\nSteep green tea for two minutes.\n", "utf-8")
    (folder / "deep" / "sea.txt").write_text("The tide turns twice a day.\n", "utf-8")
    return folder


def test_only_what_changed_is_done_again(qrank: Qrank, notes: Path) -> None:
    first = qrank("index", "notes", "--db", "i.db", "--json").json()
    assert first["files"] == dict.fromkeys(COUNTS, 0) | {"added": 2}
    assert first["chunks"] == first["embedded"] == 2
    assert first["errors"] == []
    again = qrank("index", "notes", "--db", "i.db", "--json")
    assert counts(again) == {"unchanged": 2}
    assert again.json()["embedded"] == 0

    os.utime(notes / "tea.md", (1, 1))  # touched, not changed
    assert counts(qrank("index", "notes", "--db", "i.db", "--json")) == {"unchanged": 2}

    (notes / "tea.md").write_text("# Tea\n\nSteep black tea for four minutes.\n", "utf-8")
    (notes / "deep" / "sea.txt").rename(notes / "tide.txt")
    changed = qrank("index", "notes", "--db", "i.db", "--json")
    assert counts(changed) == {"updated": 1, "added": 1, "removed": 1}
    assert changed.json()["embedded"] == 1  # the moved file kept its vector

    (notes / "tide.txt").unlink()
    assert counts(qrank("index", "notes", "--db", "i.db", "--json")) == {
        "unchanged": 1,
        "removed": 1,
    }
    assert qrank("search", "tide", "--mode", "bm25", "--db", "i.db").returncode == 1


def test_indexing_one_folder_leaves_the_others_alone(qrank: Qrank, notes: Path) -> None:
    qrank("index", "notes/deep", "notes/tea.md", "--no-embed", "--db", "i.db")
    assert counts(qrank("index", "notes/deep", "--no-embed", "--db", "i.db", "--json")) == {
        "unchanged": 1
    }
    assert qrank("status", "--db", "i.db", "--json").json()["files"] == 2


def test_no_embed_can_be_made_up_for(qrank: Qrank, notes: Path) -> None:
    assert qrank("index", "notes", "--no-embed", "--db", "i.db", "--json").json()["embedded"] == 0
    found = qrank("search", "green tea", "--db", "i.db", "--json")
    assert found.json()["models"]["embed"] is None
    assert "no vectors" in found.stderr
    assert "no vectors" in complaint(qrank("search", "tea", "--mode", "vector", "--db", "i.db"))
    assert qrank("index", "notes", "--db", "i.db", "--json").json()["embedded"] == 2
    assert qrank("search", "tea", "--mode", "vector", "--db", "i.db").returncode == 0


def test_what_can_t_be_read_is_told_and_the_rest_is_indexed(qrank: Qrank, notes: Path) -> None:
    (notes / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    (notes / "latin.txt").write_bytes(b"caf\xe9")
    (notes / "empty.md").write_bytes(b"")
    run = qrank("index", "notes", "--no-embed", "--db", "i.db", "--json")
    assert counts(run) == {"added": 4, "skipped": 1}
    reasons = {Path(problem["path"]).name: problem["reason"] for problem in run.json()["errors"]}
    assert reasons == {"image.png": "binary file"}
    assert "skipped notes/image.png: binary file" in run.stderr
    alone = qrank("index", "notes/image.png", "--no-embed", "--db", "j.db")
    assert alone.returncode == 2


def test_the_index_file_is_not_indexed(qrank: Qrank, notes: Path) -> None:
    assert counts(qrank("index", "notes", "--no-embed", "--db", "notes/i.db", "--json")) == {
        "added": 2
    }


def test_a_missing_path_changes_nothing(qrank: Qrank, notes: Path, tmp_path: Path) -> None:
    assert "no file or folder" in complaint(qrank("index", "notes", "nowhere", "--db", "i.db"))
    assert not (tmp_path / "i.db").exists()


def test_collections_are_apart(qrank: Qrank, notes: Path) -> None:
    qrank("index", "notes/deep", "--collection", "sea", "--no-embed", "--db", "i.db")
    qrank("index", "notes/tea.md", "--collection", "kitchen", "--no-embed", "--db", "i.db")
    words = ("search", "tide tea", "--mode", "bm25", "--jsonl", "--db", "i.db")
    assert {hit["collection"] for hit in qrank(*words).lines()} == {"sea", "kitchen"}
    assert [hit["collection"] for hit in qrank(*words, "--collection", "sea").lines()] == ["sea"]


def test_an_interrupted_run_leaves_an_index_that_the_next_one_completes(
    qrank: Qrank, tmp_path: Path, environment: dict[str, str]
) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for i in range(600):
        (many / f"{i}.md").write_text(f"# Note {i}\n\n" + f"About subject {i} in detail. " * 12)
    # The first answer is to what the server is, and the run asks for four more groups ahead.
    with model_server.running(answers=7) as server:
        words = [COMMAND, "index", "many", "--db", "i.db", "--embed-model", server.url]
        run = subprocess.Popen(
            words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        )
        wait_until(server.holding.is_set, run)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=120)
        assert run.returncode == 130
        assert said.startswith("qrank: interrupted while embedding")
        held = vectors_held(tmp_path / "i.db")
        assert 0 < held < 600
        server.answers = None
        server.go_on.set()
        assert qrank("search", "subject 7", "-n", "3", "--db", "i.db").returncode == 0
        rest = qrank("index", "many", "--db", "i.db", "--json").json()
        assert rest["embedded"] == 600 - held
        assert vectors_held(tmp_path / "i.db") == 600


def vectors_held(path: Path) -> int:
    if not path.exists():
        return 0
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM vector").fetchone()[0])
    except sqlite3.OperationalError:  # the tables are not there yet
        return 0
    finally:
        connection.close()


def test_init_makes_the_index_of_a_folder_and_all_below(
    qrank: Qrank, notes: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    assert qrank("init").returncode == 0
    assert qrank("init").returncode == 0
    qrank("index", "notes", "--no-embed")
    below = subprocess.run(
        [COMMAND, "search", "tide", "--mode", "bm25", "-l"],
        cwd=notes / "deep",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert below.stdout == "sea.txt\n"
    assert qrank("status", "--json").json()["db"] == str(tmp_path / ".qrank" / "index.db")


def hits(run: Run) -> dict[str, bool]:
    return {Path(hit["path"]).name: hit["stale"] for hit in run.lines()}


@pytest.mark.parametrize(
    "words",
    [
        ("search", "green tea tide", "--mode", "bm25"),
        ("search", "-e", "green tea", "-e", "tide", "--mode", "bm25"),
        ("search", "--queries", "queries.txt", "--mode", "bm25"),
        ("similar", "notes/brew.md"),
    ],
    ids=["one query", "several", "a file of queries", "similar"],
)
def test_stale_results_are_marked_left_out_or_refused(
    qrank: Qrank, notes: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (notes / "brew.md").write_text("# Brew\n\nGreen tea as the tide turns.\n", "utf-8")
    (tmp_path / "queries.txt").write_text("green tea tide\n", "utf-8")
    qrank("index", "notes", "--no-embed", "--db", "i.db")
    (notes / "tea.md").write_text("# Tea\n\nSteep black tea for two minutes.\n", "utf-8")

    def found(*more: str) -> dict[str, bool]:
        run = qrank(*words, *more, "--jsonl", "--db", "i.db")
        if "--queries" not in words:
            return hits(run)
        [answer] = run.lines()
        return {Path(hit["path"]).name: hit["stale"] for hit in answer["results"]}

    assert found()["tea.md"]  # of the same length: only its time and content are others
    assert not found()["sea.txt"]
    assert "tea.md" not in found("--stale", "drop")
    assert len(found("--stale", "drop")) == len(found()) - 1
    refused = qrank(*words, "--stale", "fail", "--jsonl", "--db", "i.db")
    assert "tea.md has changed since it was indexed" in complaint(refused)
    qrank("index", "notes", "--no-embed", "--db", "i.db")
    assert not any(found("--stale", "fail").values())


def test_a_touched_or_copied_file_is_not_stale(qrank: Qrank, notes: Path) -> None:
    qrank("index", "notes", "--no-embed", "--db", "i.db")
    tea = notes / "tea.md"
    os.utime(tea, (1, 1))
    (notes / "copy").write_bytes(tea.read_bytes())
    (notes / "copy").replace(notes / "deep" / "sea.txt")  # of the other's content, not its own
    words = ("search", "tea tide", "--mode", "bm25", "--jsonl", "--db", "i.db")
    assert hits(qrank(*words)) == {"tea.md": False, "sea.txt": True}
    tea.write_bytes(tea.read_bytes().replace(b"green", b"black"))
    assert hits(qrank(*words))["tea.md"]
    tea.unlink()
    os.mkfifo(tea)  # nobody waits for what it says
    assert hits(qrank(*words))["tea.md"]


def test_several_queries_fail_only_for_what_would_be_shown(qrank: Qrank, notes: Path) -> None:
    (notes / "brew.md").write_text("tea tea tea green\n", "utf-8")
    qrank("index", "notes", "--no-embed", "--db", "i.db")
    (notes / "tea.md").unlink()
    words = ("search", "-e", "tea", "-e", "green", "--mode", "bm25", "--jsonl", "--db", "i.db")
    assert hits(qrank(*words, "-n", "1", "--stale", "fail")) == {"brew.md": False}
    assert "tea.md" in complaint(qrank(*words, "-n", "2", "--stale", "fail"))


def test_a_file_s_own_fields_come_with_its_results(qrank: Qrank, notes: Path) -> None:
    (notes / "tea.md").write_text(
        "---\ntitle: On\n  tea\ntags: [green, 3, .nan]\ndraft: true\nn: .inf\n---\nSteep it.\n",
        "utf-8",
    )
    shutil.copy(FILES / "letter.eml", notes)
    qrank("index", "notes", "--no-embed", "--db", "i.db")
    words = ("search", "--mode", "bm25", "--db", "i.db", "-n", "1")
    [hit] = qrank(*words, "steep", "--jsonl").lines()
    fields = {"title": "On tea", "tags": ["green", 3], "draft": True}
    assert (hit["title"], hit["fields"]) == ("On tea", fields)
    assert qrank("get", hit["id"], "--jsonl", "--db", "i.db").lines()[0]["fields"] == fields
    template = "{fields[title]}|{fields[tags]}|{fields[draft]}|{fields[none]}"
    assert qrank(*words, "steep", "--format", template).stdout == "On tea|green, 3|true|\n"
    [letter] = qrank(*words, "title:letter", "--jsonl").lines()
    assert "@" in letter["fields"]["from"]
    [sea] = qrank(*words, "tide", "--fields", "fields").lines()
    assert sea == {"fields": {}}


def test_the_whole_home_folder_is_not_indexed_by_accident(
    qrank: Qrank, environment: dict[str, str]
) -> None:
    home = Path(environment["HOME"])
    (home / "note.md").write_text("A note at home.\n", "utf-8")
    for path in (home, home.parent):
        assert "--whole-home" in complaint(qrank("index", path, "--no-embed", "--db", "i.db"))
    run = qrank("index", home, "--no-embed", "--whole-home", "--db", "i.db", "--json")
    assert run.json()["files"]["added"] >= 1


def test_a_glob_that_is_none_and_a_link_to_nothing_are_said(qrank: Qrank, notes: Path) -> None:
    for glob in ("[", "", "!"):
        said = complaint(qrank("index", "notes", "-g", glob, "--no-embed", "--db", "i.db"))
        assert said.startswith(f"qrank: {glob!r} is not a valid glob: ")
    (notes.parent / "gone").symlink_to("nowhere")
    said = complaint(qrank("index", "gone", "--no-embed", "--db", "i.db"))
    assert said.endswith("gone is a broken symlink")


def test_a_narrower_run_removes_nothing_it_did_not_look_for(qrank: Qrank, notes: Path) -> None:
    qrank("index", "notes", "--no-embed", "--db", "i.db")
    run = qrank("index", "notes", "--type", "markdown", "--no-embed", "--db", "i.db", "--json")
    assert counts(run) == {"unchanged": 1}
    assert qrank("status", "--db", "i.db", "--json").json()["files"] == 2


def test_a_dry_run_and_chunks_show_what_would_be_made(qrank: Qrank, notes: Path) -> None:
    planned = qrank("index", "notes", "--dry-run", "--db", "i.db").stdout.splitlines()
    assert planned[1].startswith("notes/tea.md: 1 chunk")
    assert planned[2].startswith("2 files: 2 chunks, ~")
    assert not (notes.parent / "i.db").exists()
    [sea, tea] = qrank("chunks", "notes", "--jsonl").lines()
    assert (tea["heading"], tea["start_line"], tea["end_line"]) == ("Tea", 1, 3)
    assert sea["tokens"] > 0
    nothing = qrank("chunks", "notes", "-g", "*.nothing")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "no files found" in nothing.stderr


def test_files_with_odd_names_are_found_opened_and_removed(
    qrank: Qrank, tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    names = [b"a\nb.md", "🙂 tea.md".encode(), b"caf\xe9.md", b"--help.md", b"\x1b[31mred.md"]
    try:
        for name in names:
            (folder / os.fsdecode(name)).write_text("one\nkumquat\nthree\n", "utf-8")
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    (folder / "loop").symlink_to("..")
    assert counts(qrank("index", "odd", "--no-embed", "--db", "i.db", "--json")) == {"added": 5}
    words = ("search", "kumquat", "--mode", "bm25", "--db", "i.db", "--copies")
    found = {hit["path"]: hit for hit in qrank(*words, "--jsonl").lines()}
    odd = f"{folder}/caf\\xe9.md"
    assert odd in found
    assert not any(hit["stale"] for hit in found.values())
    assert "3- three" in qrank(*words, "--path", "*caf*", "-C", "1").stdout
    real = os.fsencode(folder) + b"/caf\xe9.md"
    opened = subprocess.run(
        [COMMAND, "open", found[odd]["id"], "--db", tmp_path / "i.db"],
        cwd=folder,
        env=environment,
        capture_output=True,
    )
    assert opened.stdout == b"caf\xe9.md:1\n"
    ran = subprocess.run(
        [COMMAND, *words, "-0"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert set(ran.stdout.split(b"\0")[:-1]) == {b"odd/" + n for n in names}
    reranked = subprocess.run(
        [COMMAND, "rerank", "kumquat", "--files"],
        cwd=tmp_path,
        input=ran.stdout,
        capture_output=True,
    )
    assert (reranked.stdout.count(b"\0"), reranked.stderr) == (5, b"")
    assert b"\todd/caf\xe9.md\0" in reranked.stdout
    like = ("similar", os.fsdecode(real), "--mode", "bm25", "--db", "i.db", "-l", "-0")
    ran = subprocess.run([COMMAND, *like], cwd=tmp_path, env=environment, capture_output=True)
    assert ran.stdout.count(b"\0") == 4
    subprocess.run(
        [COMMAND, "remove", real, "--db", "i.db"], cwd=tmp_path, env=environment, check=True
    )
    assert odd not in {hit["path"] for hit in qrank(*words, "--jsonl").lines()}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_watch_keeps_the_index_fresh_until_it_is_ended(
    qrank: Qrank,
    notes: Path,
    tmp_path: Path,
    environment: dict[str, str],
    number: int,
    status: int,
) -> None:
    words = [COMMAND, "index", "notes", "--no-embed", "--watch", "--db", "i.db"]
    run = subprocess.Popen(
        words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert run.stderr
        assert b"watching" in run.stderr.readline()
        (notes / "new.md").write_text("A zeppelin came by.\n", "utf-8")
        search = ("search", "zeppelin", "--mode", "bm25", "--db", "i.db")
        wait_until(lambda: qrank(*search).returncode == 0, run)
    finally:
        run.send_signal(number)
        run.communicate(timeout=120)
    assert run.returncode == status


def test_watch_sees_what_changes_during_its_first_run(
    qrank: Qrank, notes: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """The command that reads the file changes it once it has read it."""
    script = tmp_path / "read"
    changed = tmp_path / "changed"
    script.write_text(
        f'#!/bin/sh\ncat "$1"; [ -e {changed} ] && exit\n'
        f'echo A zeppelin >> "$1"; touch {changed}\n',
        "utf-8",
    )
    script.chmod(0o755)
    words = [COMMAND, "index", "notes", "--no-embed", "--watch", "--db", "i.db"]
    words += ["--pre", str(script), "--pre-glob", "tea.md"]
    run = subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    try:
        search = ("search", "zeppelin", "--mode", "bm25", "--db", "i.db")
        wait_until(lambda: qrank(*search).returncode == 0, run)
        assert changed.exists()
    finally:
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=120)
    assert run.returncode == 130
