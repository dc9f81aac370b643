"""Searches for names of files, in different spellings."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Run, complaint

Qrank = Callable[..., Run]
SEARCH = ("search", "kestrel", "--copies", "--mode", "bm25")
ODD = ["notes [2024] v1.md", "[a-z].md", "what?.md", "a*b.md", "x]y[.md", "caf\u00e9 [1].md"]
FORMS = [("NFC", "NFD"), ("NFD", "NFC")]


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"The kestrel hovers over {len(path)} fields.\n", "utf-8")


def index(qrank: Qrank, *paths: object, **more: Path) -> Run:
    run = qrank("index", *paths, "--no-embed", "--db", "i.db", "--json", **more)
    assert run.returncode == 0, run
    return run


def found(qrank: Qrank, *words: object, cwd: Path) -> list[str]:
    run = qrank(*SEARCH, "-n", 50, "--jsonl", *words, "--db", cwd / "i.db")
    return sorted(hit["path"] for hit in run.lines())


@pytest.mark.parametrize("name", ODD)
def test_a_path_that_was_printed_can_be_given_back(qrank: Qrank, tmp_path: Path, name: str) -> None:
    make(tmp_path, f"d/{name}", "d/a.md", "d/z.md", "d/notes 2 v1.md", "d/whats.md", "d/axb.md")
    make(tmp_path, f"d/e/d/{name}", "d/x]y(.md")
    index(qrank, "d")
    printed = [path for path in found(qrank, cwd=tmp_path) if path.endswith(f"{tmp_path}/d/{name}")]
    assert len(printed) == 1
    assert found(qrank, "--path", printed[0], cwd=tmp_path) == printed
    assert found(qrank, "--path", f"d/{name}", cwd=tmp_path) == printed
    assert (
        qrank(*SEARCH, "--db", "i.db", "--path", printed[0], "-l")
        .stdout.strip()
        .endswith(f"d/{name}")
    )
    assert qrank("similar", printed[0], "--db", "i.db").returncode == 0
    assert qrank("remove", printed[0], "--db", "i.db").returncode == 0
    assert len(found(qrank, cwd=tmp_path)) == 7


def test_a_folder_with_brackets_is_a_folder(qrank: Qrank, tmp_path: Path) -> None:
    make(tmp_path, "[old] notes/a.md", "[old] notes/sub/b.md", "o notes/c.md")
    index(qrank, ".")
    for path in ("[old] notes", "[old] notes/", str(tmp_path / "[old] notes")):
        hits = found(qrank, "--path", path, cwd=tmp_path)
        assert [Path(hit).name for hit in hits] == ["a.md", "b.md"]
    hits = found(qrank, "--path", "[n-p] notes/*", cwd=tmp_path)
    assert [Path(hit).name for hit in hits] == ["c.md"]
    # Also when they are gone from the disk.
    (tmp_path / "[old] notes").rename(tmp_path / "moved")
    assert len(found(qrank, "--path", "[old] notes", cwd=tmp_path)) == 2


def test_this_folder_and_relative_ones_work_from_anywhere(qrank: Qrank, tmp_path: Path) -> None:
    make(tmp_path, "a.md", "sub/b.md", "sub/in/c.md", "other/sub/d.md")
    index(qrank, ".")

    def names(path: str, cwd: Path) -> list[str]:
        db = tmp_path / "i.db"
        run = qrank(*SEARCH, "--jsonl", "--path", path, "--db", db, cwd=cwd)
        return sorted(Path(hit["path"]).name for hit in run.lines())

    sub = tmp_path / "sub"
    assert names(".", sub) == ["b.md", "c.md"]
    assert names("./", sub) == ["b.md", "c.md"]
    assert names("..", sub) == ["a.md", "b.md", "c.md", "d.md"]
    assert names("../other", sub) == ["d.md"]
    assert names("in", sub) == ["c.md"]
    assert names("./in/*.md", sub) == ["c.md"]
    assert names("sub", tmp_path) == ["b.md", "c.md"]  # the one here
    assert names("sub", sub) == ["b.md", "c.md", "d.md"]  # there is none here: any
    assert names(f"{sub}/../sub/b.md", tmp_path) == ["b.md"]


@pytest.mark.parametrize(("stored", "typed"), FORMS)
def test_the_form_of_unicode_does_not_matter(
    qrank: Qrank, tmp_path: Path, environment: dict[str, str], stored: str, typed: str
) -> None:
    name = "d\u00e9j\u00e0/caf\u00e9 \ud55c.md"
    there, here = (unicodedata.normalize(form, name) for form in (stored, typed))
    make(tmp_path, there, "deja/cafe.md")
    index(qrank, *{Path(there).parent, "deja"})
    [path] = (str(tmp_path / there),)
    folder = here.partition("/")[0]
    for glob in (here, folder, f"{folder}/*", str(tmp_path / here)):
        assert path in found(qrank, "--path", glob, cwd=tmp_path), glob
    assert found(qrank, "--path", "*/caf\u00e9*", cwd=tmp_path) == [path]
    assert found(qrank, "--path", "*/caf? *", cwd=tmp_path) == [path]
    assert qrank("similar", here, "--db", "i.db").returncode == 0
    assert qrank("similar", f"{here}:1", "--db", "i.db").returncode == 0
    word = unicodedata.normalize(typed, "caf\u00e9")
    title = qrank("search", f"title:{word}", "--mode", "bm25", "--db", "i.db", "-l")
    assert "caf" in title.stdout
    run = qrank("open", f"{here}:1", "--db", "i.db")
    assert run.stdout.strip() == f"{Path(path).relative_to(tmp_path)}:1"
    assert index(qrank, folder).json()["files"]["unchanged"] == 1
    (tmp_path / there).unlink()
    assert qrank("similar", here, "--db", "i.db").returncode == 0  # gone, yet in the index
    assert qrank("remove", here, "--db", "i.db").returncode == 0
    assert len(found(qrank, cwd=tmp_path)) == 1


def test_a_root_by_several_names_gives_each_result_once(qrank: Qrank, tmp_path: Path) -> None:
    make(tmp_path, "notes/a.md", "notes/sub/b.md")
    (tmp_path / "link").symlink_to("notes")
    (tmp_path / "file.md").symlink_to("notes/a.md")
    expected = [str(tmp_path / "notes" / name) for name in ("a.md", "sub/b.md")]
    run = index(qrank, "link", "notes", "./notes/../notes/", "notes/sub", "link/sub", "file.md")
    assert run.json()["files"]["added"] == 2
    assert found(qrank, cwd=tmp_path) == expected
    assert index(qrank, "link").json()["files"]["unchanged"] == 2
    assert index(qrank, tmp_path / "notes").json()["files"]["unchanged"] == 2
    assert len(qrank("chunks", "link", "notes/sub", "notes", "--jsonl").lines()) == 2
    assert found(qrank, "--path", "link/sub", cwd=tmp_path) == expected[1:]
    assert qrank("similar", "file.md", "--db", "i.db").returncode == 0
    assert qrank("remove", "link/sub", "--db", "i.db").returncode == 0
    assert found(qrank, cwd=tmp_path) == expected[:1]


def test_what_an_older_version_indexed_under_a_link_is_moved(qrank: Qrank, tmp_path: Path) -> None:
    make(tmp_path, "notes/a.md")
    (tmp_path / "link").symlink_to("notes")
    index(qrank, "notes")
    lines = qrank("export", "--db", "i.db").stdout.replace(f"{tmp_path}/notes", f"{tmp_path}/link")
    (tmp_path / "i.db").unlink()
    assert qrank("import", "-", "--db", "i.db", stdin=lines).returncode == 0
    assert found(qrank, "--path", "link", cwd=tmp_path) == [f"{tmp_path}/link/a.md"]
    assert index(qrank, "link").json()["files"]["removed"] == 1
    assert found(qrank, cwd=tmp_path) == [f"{tmp_path}/notes/a.md"]


def test_a_path_that_is_not_there_is_named_as_it_was_typed(qrank: Qrank, tmp_path: Path) -> None:
    make(tmp_path, "notes/a.md")
    (tmp_path / "link").symlink_to("notes")
    index(qrank, "notes")
    assert "link/b.md" in complaint(qrank("index", "link/b.md", "--db", "i.db"))
    assert "notes/b.md" in complaint(qrank("remove", "notes/b.md", "--db", "i.db"))
