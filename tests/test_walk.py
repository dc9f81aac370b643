"""Which files are walked and indexed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Run, read_only

from qrank.errors import InputError
from qrank.ingest.content import open_regular
from qrank.ingest.walk import Skipped, walk
from qrank.settings import WALK_ALL, Walking


def names(
    root: Path, skipped: list[Skipped] | None = None, walking: Walking = WALK_ALL
) -> list[str]:
    found = walk([root], walking, (skipped if skipped is not None else []).append)
    return [Path(file.path).relative_to(root).as_posix() for file in found]


def make(root: Path, *paths: str, text: str = "x") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def test_files_come_in_order_without_hidden_ones(tmp_path: Path) -> None:
    make(tmp_path, "b.md", "a/z.md", "a/b/c.md", ".hidden.md", ".git/config", "c.txt")
    assert names(tmp_path) == ["a/b/c.md", "a/z.md", "b.md", "c.txt"]


def test_ignore_files_are_honoured_the_deepest_last(tmp_path: Path) -> None:
    make(tmp_path, "keep.md", "drop.log", "build/x.md", "sub/drop.log", "sub/build.md")
    (tmp_path / ".gitignore").write_text("*.log\nbuild/\n", encoding="utf-8")
    (tmp_path / "sub" / ".qrankignore").write_text("!drop.log\nbuild.md\n", encoding="utf-8")
    assert names(tmp_path) == ["keep.md", "sub/drop.log"]


def test_links_are_not_followed_and_devices_not_read(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "link.md").symlink_to("a.md")
    os.mkfifo(tmp_path / "fifo")
    assert names(tmp_path) == ["a.md"]


def test_a_file_that_is_named_is_found_even_when_hidden(tmp_path: Path) -> None:
    make(tmp_path, ".notes.md")
    (tmp_path / ".gitignore").write_text("*\n", encoding="utf-8")
    assert [Path(f.path).name for f in walk([tmp_path / ".notes.md"], WALK_ALL, [].append)] == [
        ".notes.md"
    ]


def test_a_fifo_that_is_named_is_an_error_not_a_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    skipped: list[Skipped] = []
    assert list(walk([tmp_path / "fifo"], WALK_ALL, skipped.append)) == []
    [fifo] = skipped
    assert (fifo.kind, fifo.reason) == ("unread", "not a regular file")


def test_a_name_that_is_no_utf8_is_found_and_opened(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.md")).write_text("x", encoding="utf-8")
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    assert names(tmp_path) == ["caf\\xe9.md"]
    with open_regular(f"{tmp_path}/caf\\xe9.md") as file:
        assert file.read() == b"x"


def test_a_folder_without_permission_is_a_problem(
    qrank: Callable[..., Run], tmp_path: Path
) -> None:
    make(tmp_path, "notes/a.md", "notes/secret/b.md")
    with read_only(tmp_path / "notes") as prefix:
        (tmp_path / "notes" / "secret").chmod(0)
        run = qrank("index", "notes", "--no-embed", "--json", "--db", "i.db", prefix=prefix)
    assert run.json()["files"]["added"] == 1
    [problem] = run.json()["errors"]
    assert Path(problem["path"]).name == "secret"
    assert problem["reason"] == "permission denied"


def test_globs_types_and_hidden_files(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "b.py", "sub/c.md", "sub/d.pdf", ".hid/e.md", ".git/f.md", "x.log")
    (tmp_path / ".gitignore").write_text("*.log\n", encoding="utf-8")
    cases: list[tuple[Walking, list[str]]] = [
        (Walking(globs=("*.md",)), ["a.md", "sub/c.md"]),
        (Walking(globs=("!sub",)), ["a.md", "b.py"]),
        (Walking(globs=("*.md", "!sub/*")), ["a.md"]),
        (Walking(globs=("*.log",)), ["x.log"]),  # asked for, whatever ignore files say
        (Walking(types=("pdf", "py")), ["b.py", "sub/d.pdf"]),
        (Walking(hidden=True, types=("markdown",)), [".hid/e.md", "a.md", "sub/c.md"]),
        (Walking(ignore=False, globs=("x*",)), ["x.log"]),
    ]
    for walking, expected in cases:
        assert names(tmp_path, walking=walking) == expected, walking
    with pytest.raises(InputError, match="markdown"):
        names(tmp_path, walking=Walking(types=("nonsense",)))


def test_a_repository_s_rules_hold_below_it(tmp_path: Path) -> None:
    make(tmp_path, ".git/info/x", "docs/a.md", "docs/b.tmp", "docs/c.bak", "docs/d.old")
    (tmp_path / ".gitignore").write_text("*.tmp\n", encoding="utf-8")
    (tmp_path / ".git" / "info" / "exclude").write_text("*.bak\n", encoding="utf-8")
    everywhere = tmp_path / "mine"
    everywhere.write_text("*.old\n", encoding="utf-8")
    walking = Walking(global_ignores=(everywhere,))
    assert names(tmp_path / "docs", walking=walking) == ["a.md"]
    assert len(names(tmp_path / "docs", walking=Walking(ignore=False))) == 4
