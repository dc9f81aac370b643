"""An index that was moved with its files: renamed, moved, copied, mounted."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support import Run, read_only, write_files

from qrank.store import open_store

Qrank = Callable[..., Run]
FILES = {
    "notes/tea.md": "# Tea\n\nSteep green tea for two minutes.\n",
    "notes/été/café.md": "Grind coffee beans.\n",
    "more.md": "Kestrels hover.\n",
    "binary.txt": "\0" * 9,
}
INDEX = ".qrank/index.db"


@pytest.fixture
def project(qrank: Qrank, tmp_path: Path) -> Path:
    """A project with an index of its own, of three files; and vectors of them."""
    folder = tmp_path / "a" / "b"
    write_files(folder, FILES)
    qrank("init", cwd=folder)
    run = qrank("index", ".", "--collection", "mine", "--embed-model", "tiny", cwd=folder)
    assert run.returncode == 0, run
    return folder


def found(qrank: Qrank, folder: Path, *words: str, **more: object) -> list[str]:
    """Where all is that the index of a folder has, by paths from that folder on."""
    run = qrank("search", "-E", ".", "--sort", "path", "--jsonl", *words, cwd=folder, **more)
    assert run.stderr == "", run
    return [os.path.relpath(line["path"], folder) for line in run.lines()]


def check_goes_on(qrank: Qrank, folder: Path, index: str = INDEX) -> str:
    """Check that an index has the files of folder, and reads and embeds none anew; returns what the
    first run that writes says."""
    there = ["more.md", "notes/tea.md", "notes/été/café.md"]
    assert found(qrank, folder, "--db", index) == there
    run = qrank("index", "--db", index, "--json", cwd=folder)
    files = run.json()["files"]
    names = ("added", "updated", "unchanged", "removed", "skipped", "failed")
    assert [files[name] for name in names] == [0, 0, 3, 0, 1, 0], run
    assert run.json()["embedded"] == 0, run
    assert found(qrank, folder, "--db", index) == there
    assert qrank("doctor", "--index", "--db", index, cwd=folder).returncode == 0
    return run.stderr


def roots(qrank: Qrank, folder: Path, index: str = INDEX) -> list[str]:
    listed = qrank("collections", "--db", index, "--json", cwd=folder).json()["collections"]
    return [root for collection in listed for root in collection["roots"]]


@pytest.mark.parametrize("to", ["a/bc", "c", "a/b/inner", "é été's"])
def test_a_project_that_was_moved_goes_on(
    qrank: Qrank, project: Path, tmp_path: Path, to: str
) -> None:
    there = tmp_path / to
    project.rename(tmp_path / "between")
    there.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "between").rename(there)
    said = check_goes_on(qrank, there)
    assert said.count("moved with") == 1
    assert f"moved with its files from {project} to {there}" in said
    assert roots(qrank, there) == [str(there)]
    assert "moved with" not in qrank("index", cwd=there).stderr
    # And back.
    there.rename(tmp_path / "between")
    project.parent.mkdir(exist_ok=True)
    if project.exists():
        project.rmdir()
    (tmp_path / "between").rename(project)
    check_goes_on(qrank, project)


def test_a_copy_is_about_the_copied_files(qrank: Qrank, project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    check_goes_on(qrank, copy)
    (copy / "more.md").write_text("Owls call.\n")
    (project / "notes" / "tea.md").unlink()
    assert qrank("index", "--json", cwd=copy).json()["files"]["updated"] == 1
    assert qrank("search", "owls", "--mode", "bm25", cwd=project).returncode == 1
    assert qrank("index", "--json", cwd=project).json()["files"]["removed"] == 1
    assert "notes/tea.md" in found(qrank, copy)


def test_an_index_that_can_t_be_written_is_about_where_it_is_now(
    qrank: Qrank, project: Path, tmp_path: Path
) -> None:
    there = tmp_path / "medium"
    project.rename(there)
    with read_only(there / ".qrank") as prefix:
        ask = ("--mode", "bm25", "--format", "{path}")
        for words in (
            ("search", "steep", *ask, "--path", "notes"),
            ("search", "steep", *ask, "--where", "path=notes/tea.md"),
            ("similar", "notes/tea.md", "-n", "1", "--format", "{path}"),
        ):
            run = qrank(*words, cwd=there, prefix=prefix)
            assert (run.returncode, run.stderr) == (0, ""), run
            assert run.stdout.startswith("notes/")
        assert "Steep" in qrank("get", "notes/tea.md", cwd=there, prefix=prefix).stdout
        assert qrank("search", "tea", "--stale", "fail", cwd=there, prefix=prefix).returncode == 0
        assert roots(qrank, there) == [str(there)]
        assert qrank("status", "notes/tea.md", cwd=there, prefix=prefix).returncode == 0
        assert qrank("doctor", "--index", cwd=there, prefix=prefix).returncode == 0
        exported = qrank("export", "--no-vectors", cwd=there, prefix=prefix).lines()
    assert next(line["path"] for line in exported if "path" in line) == str(there / "more.md")


def test_an_index_that_was_moved_alone_stays_with_its_files(
    qrank: Qrank, project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    write_files(other, {"more.md": "Something else, which is longer.\n"})
    (project / ".qrank").rename(other / ".qrank")
    check_goes_on(qrank, project, str(other / INDEX))
    # Nor is it lost when the files come later than the index.
    project.rename(tmp_path / "late")
    (tmp_path / "moved").mkdir()
    (other / ".qrank").rename(tmp_path / "moved" / ".qrank")
    assert qrank("index", cwd=tmp_path / "moved").returncode == 0
    assert roots(qrank, tmp_path / "moved") == [str(project)]


def test_files_that_come_after_their_index_are_known(
    qrank: Qrank, project: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (project / ".qrank").rename(there / ".qrank")
    project.rename(tmp_path / "between")
    assert qrank("index", cwd=there).returncode == 0
    for file in (tmp_path / "between").iterdir():
        file.rename(there / file.name)
    check_goes_on(qrank, there)


def test_an_index_beside_its_files_and_roots_outside(
    qrank: Qrank, project: Path, tmp_path: Path
) -> None:
    write_files(tmp_path / "a" / "bc", {"out.md": "Curlews wade.\n"})
    name = "files.db"
    qrank("index", ".", "../bc", "--db", name, "--no-embed", cwd=project)
    there = tmp_path / "z"
    project.rename(there)
    assert found(qrank, there, "--db", name) == [
        *("../a/bc/out.md", "more.md", "notes/tea.md", "notes/été/café.md"),
    ]
    files = qrank("index", "--db", name, "--no-embed", "--json", cwd=there).json()["files"]
    assert (files["added"], files["unchanged"], files["removed"]) == (0, 4, 0)
    assert roots(qrank, there, name) == [str(tmp_path / "a" / "bc"), str(there)]


def test_a_link_to_an_index_or_its_folder_moves_nothing(
    qrank: Qrank, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "link.db").symlink_to(project / INDEX)
    (tmp_path / "y").symlink_to(project)
    for index in (tmp_path / "x" / "link.db", tmp_path / "y" / INDEX):
        assert check_goes_on(qrank, project, str(index)).count("moved with") == 0
    # A project whose .qrank is kept elsewhere.
    (project / ".qrank").rename(tmp_path / "kept")
    (project / ".qrank").symlink_to(tmp_path / "kept")
    check_goes_on(qrank, project)
    project.rename(tmp_path / "there")
    assert "moved with" in check_goes_on(qrank, tmp_path / "there")


def test_what_the_new_place_had_before_is_replaced(
    qrank: Qrank, project: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    write_files(there, {"more.md": "Plovers wade.\n", "old.md": "Terns dive.\n"})
    name = "files.db"
    for folder in (".", there):
        qrank("index", folder, "--db", name, "--no-embed", cwd=project)
    shutil.rmtree(there)
    project.rename(there)
    files = qrank("index", "--db", name, "--no-embed", "--json", cwd=there).json()["files"]
    assert [files[n] for n in ("added", "updated", "unchanged", "removed")] == [0, 0, 3, 1]
    assert found(qrank, there, "--db", name) == ["more.md", "notes/tea.md", "notes/été/café.md"]
    assert qrank("doctor", "--index", "--db", name, cwd=there).returncode == 0
    assert qrank("search", "plovers", "--db", name, "--mode", "bm25", cwd=there).returncode == 1


def test_an_index_of_before_notes_its_folder_and_goes_on(
    qrank: Qrank, project: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(project / INDEX)) as connection, connection:
        connection.executescript(
            "DROP TABLE home; ALTER TABLE collection DROP COLUMN ignored; "
            "ALTER TABLE collection DROP COLUMN instruction; PRAGMA user_version = 10"
        )
    assert "upgrading" in qrank("search", "tea", cwd=project).stderr
    project.rename(tmp_path / "there")
    check_goes_on(qrank, tmp_path / "there")


def test_readers_see_the_paths_of_now_while_they_are_rewritten(
    project: Path, tmp_path: Path
) -> None:
    inner = project / "inner"
    project.rename(tmp_path / "between")
    project.mkdir()
    (tmp_path / "between").rename(inner)
    with open_store(inner / INDEX) as reader:
        before = {file.path for file in reader.files("mine")}
        assert before == {str(inner / name) for name in list(FILES)[:3]}
        with open_store(inner / INDEX, write=True) as writer:
            assert {file.path for file in writer.files("mine")} == before
        assert {file.path for file in reader.files("mine")} == before
