"""Collections: their roots, updating them, and which files are excluded."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import jsonschema
import pytest
from support import ROOT, Run, complaint

from qrank.json_form import schema

Qrank = Callable[..., Run]
NO_VECTORS = ("--no-embed", "--json")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    (folder / "sub").mkdir(parents=True)
    (folder / "build").mkdir()
    (folder / "a.md").write_text("tea steeps\n")
    (folder / "sub" / "b.txt").write_text("coffee beans\n")
    (folder / "build" / "c.md").write_text("generated pages\n")
    (folder / ".ignore").write_text("build\n")
    return folder


def held(qrank: Qrank, folder: Path) -> list[str]:
    """The indexed files, from a folder on."""
    lines = qrank("search", "-E", ".", "--jsonl").lines()
    return sorted({os.path.relpath(line["path"], folder) for line in lines})


def roots(qrank: Qrank, folder: Path) -> dict[str, list[str]]:
    found = qrank("collections", "--json").json()["collections"]
    return {each["name"]: [os.path.relpath(r, folder) for r in each["roots"]] for each in found}


def test_a_run_without_paths_brings_all_collections_up_to_date(
    qrank: Qrank, notes: Path, tmp_path: Path
) -> None:
    qrank("init")
    assert "qrank index PATH" in complaint(qrank("index"))
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / ".hidden.md").write_text("a hidden plan\n")
    qrank("index", "notes", *NO_VECTORS)
    qrank("index", "work", "--hidden", "--collection", "work", *NO_VECTORS)
    assert roots(qrank, tmp_path) == {"default": ["notes"], "work": ["work"]}
    (notes / "a.md").unlink()
    (notes / "sub" / "b.txt").write_text("coffee beans, ground\n")
    (tmp_path / "work" / ".more.md").write_text("more of it\n")
    files = qrank("index", *NO_VECTORS).json()["files"]
    assert [files[name] for name in ("added", "updated", "removed", "unchanged")] == [1, 1, 1, 1]
    assert held(qrank, tmp_path) == ["notes/sub/b.txt", "work/.hidden.md", "work/.more.md"]
    # One collection alone; an unknown one is named.
    (tmp_path / "work" / ".more.md").unlink()
    (notes / "sub" / "b.txt").unlink()
    files = qrank("index", "--collection", "work", *NO_VECTORS).json()["files"]
    assert (files["removed"], files["unchanged"]) == (1, 1)
    assert "there is no collection x" in complaint(qrank("index", "--collection", "x"))
    for option in ("--dry-run", "--watch"):
        assert f"{option} needs a PATH" in complaint(qrank("index", option))


def test_a_folder_that_is_not_there_keeps_its_documents(qrank: Qrank, notes: Path) -> None:
    qrank("init")
    qrank("index", "notes", *NO_VECTORS)
    notes.rename(notes.with_name("elsewhere"))
    run = qrank("index", *NO_VECTORS)
    assert run.json()["missing"] == [str(notes)]
    assert "notes does not exist now" in run.stderr
    assert qrank("status", "--json").json()["files"] == 2
    assert qrank("remove", "notes").returncode == 0
    assert roots(qrank, notes) == {}


def test_an_ignored_folder_that_was_named_stays_in(qrank: Qrank, notes: Path) -> None:
    qrank("init")
    qrank("index", "notes/build", *NO_VECTORS)
    qrank("index", "notes", *NO_VECTORS)
    assert held(qrank, notes) == ["a.md", "build/c.md", "sub/b.txt"]
    assert roots(qrank, notes) == {"default": [".", "build"]}
    (notes / "build" / "c.md").write_text("other pages\n")
    assert qrank("index", *NO_VECTORS).json()["files"]["updated"] == 1
    # Where it is gone from the disk, it is gone.
    (notes / "build" / "c.md").unlink()
    (notes / "build").rmdir()
    assert qrank("index", "notes", *NO_VECTORS).json()["files"]["removed"] == 1


def test_what_a_known_folder_reaches_needs_no_note(qrank: Qrank, notes: Path) -> None:
    qrank("init")
    qrank("index", "notes/sub", "notes/a.md", *NO_VECTORS)
    assert roots(qrank, notes) == {"default": ["a.md", "sub"]}
    qrank("index", "notes", *NO_VECTORS)
    qrank("index", "notes/sub", *NO_VECTORS)
    qrank("index", "notes", "-g", "*.md", *NO_VECTORS)  # which leaves the others in
    assert roots(qrank, notes) == {"default": ["."]}
    (notes / "sub" / "new.txt").write_text("new\n")
    assert qrank("index", *NO_VECTORS).json()["files"]["added"] == 1


def test_no_command_and_no_secrets_come_from_an_index(qrank: Qrank, notes: Path) -> None:
    (notes / ".netrc").write_text("machine example.org login a password b\n")
    words = ("--hidden", "--include-secrets", "--pre", "cat", "--pre-glob", "*.txt")
    qrank("index", "notes", *words, "--db", "n.db", *NO_VECTORS)
    with closing(sqlite3.connect(notes.parent / "n.db")) as connection, connection:
        [(options,)] = connection.execute("SELECT options FROM root").fetchall()
        assert options == '{"hidden": true}'
        connection.execute("UPDATE root SET options = '{\"globs\": 7}'")
    assert "invalid options of a folder" in complaint(qrank("index", "--db", "n.db", "--no-embed"))


def test_remove_says_what_comes_back_and_ignore_keeps_it_out(qrank: Qrank, notes: Path) -> None:
    odd = notes / "sub" / "#odd [1].md"
    odd.write_text("odd\n")
    (notes / ".qrankignore").write_bytes(b"caf\xe9.md")  # no UTF-8, no newline at its end
    qrank("init")
    qrank("index", "notes", *NO_VECTORS)
    said = qrank("remove", "notes/a.md")
    assert "notes/a.md is still there: the next qrank index of notes brings it back" in said.stderr
    assert qrank("index", *NO_VECTORS).json()["files"]["added"] == 1
    run = qrank("remove", "notes/a.md", odd, "--ignore", "--json")
    rule_file = notes / ".qrankignore"
    assert [rule["rule"] for rule in run.json()["rules"]] == ["/a.md", "/sub/\\#odd \\[1\\].md"]
    assert "brings it back" not in run.stderr
    assert qrank("index", *NO_VECTORS).json()["files"]["added"] == 0
    assert held(qrank, notes) == ["sub/b.txt"]
    qrank("remove", "notes/sub", "--ignore")
    assert rule_file.read_bytes().splitlines() == [
        *(b"caf\xe9.md", b"/a.md", b"/sub/\\#odd \\[1\\].md", b"/sub/"),
    ]
    assert qrank("index", *NO_VECTORS).json()["files"]["added"] == 0
    assert "--ignore needs a PATH" in complaint(
        qrank("remove", "--collection", "default", "--ignore")
    )


def test_a_description_is_shown(qrank: Qrank, notes: Path) -> None:
    qrank("init")
    assert (qrank("collections").returncode, qrank("collections").stdout) == (1, "")
    qrank("index", "notes", *NO_VECTORS)
    qrank("collections", "set", "default", "description", "what I  drink\n")
    assert qrank("collections").stdout == "default: 2 files  what I drink\n    notes\n"
    [shown] = qrank("status", "--json").json()["collections"]
    said = {"description": "what I drink", "ignore": [], "instruction": ""}
    assert shown == {"name": "default", "files": 2, **said}
    assert "default (what I drink): 2 files" in qrank("status").stdout
    assert "there is no collection x" in complaint(
        qrank("collections", "set", "x", "description", "y")
    )
    assert "use one of: description, ignore, instruction" in complaint(
        qrank("collections", "set", "default", "y", "z")
    )
    qrank("collections", "set", "default", "description", "")
    assert qrank("collections").stdout.startswith("default: 2 files\n")


def test_a_collection_has_ignore_rules_of_its_own(
    qrank: Qrank, notes: Path, tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "b.txt").write_text("beans\n")
    qrank("init")
    qrank("index", "notes", *NO_VECTORS)
    qrank("index", "work", "--collection", "work", *NO_VECTORS)
    qrank("collections", "set", "default", "ignore", "*.txt", "/a.md", "!build/\n# c.md stays\n")
    [default, work] = qrank("collections", "--json").json()["collections"]
    assert default["ignore"] == ["*.txt", "/a.md", "!build/", "# c.md stays"]
    assert work["ignore"] == []
    assert "    ignores *.txt, /a.md, !build/, # c.md stays\n" in qrank("collections").stdout
    assert "ignores *.txt" in qrank("status").stdout
    dry = qrank("index", "notes", "--dry-run", "--json").json()["files"]
    assert [os.path.relpath(file["path"], notes) for file in dry] == ["build/c.md"]
    assert "still there" not in qrank("remove", "notes/a.md").stderr  # it does not come back
    files = qrank("index", *NO_VECTORS).json()["files"]
    assert [files[name] for name in ("added", "removed", "unchanged")] == [1, 1, 1]
    assert held(qrank, tmp_path) == ["notes/build/c.md", "work/b.txt"]
    said = qrank("status", "notes/sub/b.txt").stdout
    assert "ignored by the rules of its collection:1: *.txt" in said
    # What is named is taken, as with ignore files; and a search that refreshes knows the rules.
    qrank("index", "notes", *NO_VECTORS)
    (notes / "sub" / "new.txt").write_text("beans, ground\n")
    (notes / "new.md").write_text("beans, whole\n")
    found = qrank("search", "beans", "--refresh", "--mode", "bm25", "-l").stdout.splitlines()
    assert sorted(found) == ["notes/new.md", "work/b.txt"]
    for wrong in ("[z", "!", "/"):
        said = complaint(qrank("collections", "set", "default", "ignore", wrong))
        assert f"{wrong!r} is not a valid ignore rule; rules are as in a .gitignore" in said
    qrank("collections", "set", "default", "ignore", "")
    assert qrank("index", *NO_VECTORS).json()["files"]["added"] == 3
    assert held(qrank, notes) == ["../work/b.txt", "a.md", "new.md", "sub/b.txt", "sub/new.txt"]


def test_a_collection_has_an_instruction_for_models(
    qrank: Qrank, notes: Path, tmp_path: Path
) -> None:
    tiny = ROOT / "qrank" / "models" / "tiny" / "tiny-embedding.gguf"
    config = tmp_path / "config" / "qrank" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        f'[[embedder]]\nalias = "mine"\nsource = "{tiny}"\nquery = "{{task}} {{text}}"\n'
    )
    user = {"XDG_CONFIG_HOME": str(config.parents[1])}
    qrank("init")
    model = ("--embed-model", "mine")
    for folder, name in (("notes/sub", "one"), ("notes/build", "two")):
        assert qrank("index", folder, "--collection", name, *model, **user).returncode == 0

    def cosine(*words: str) -> float:
        ask = ("search", "something to drink", "--mode", "vector", "-n", "1", "--json", "--copies")
        run = qrank(*ask, "--path", "notes/sub", *words, **user)
        return float(run.json()["results"][0]["scores"]["vector"]["score"])

    own = cosine()
    qrank("collections", "set", "one", "instruction", "Find coffee,  please:")
    assert "instruction: Find coffee, please:" in qrank("status", **user).stdout
    assert cosine("--collection", "one") != own
    assert cosine() == own  # of two collections, which have not the same
    qrank("collections", "set", "two", "instruction", "Find", "coffee,", "please:")
    assert cosine() == cosine("--collection", "one") != own
    for name in ("one", "two"):
        qrank("collections", "set", name, "instruction", "")
    assert cosine("--collection", "one") == own


def test_an_export_says_what_collections_are_made_of(
    qrank: Qrank, notes: Path, tmp_path: Path
) -> None:
    qrank("index", "notes", "--db", "old.db", *NO_VECTORS)
    qrank("index", "notes/build", "--hidden", "--collection", "b", "--db", "old.db", *NO_VECTORS)
    said = {"description": "My own", "ignore": ["*.tmp"], "instruction": "Find the note"}
    for key, value in (*said.items(), ("ignore", "*.tmp")):
        words = [value] if isinstance(value, str) else value
        qrank("collections", "set", "default", key, *words, "--db", "old.db")
    exported = qrank("export", "--db", "old.db").stdout
    words = ("import", "-", "--db", "new.db", "--map", f"{notes}={tmp_path / 'mine'}")
    notes.rename(tmp_path / "mine")
    assert qrank(*words, stdin=exported).returncode == 0
    b, default = qrank("collections", "--db", "new.db", "--json").json()["collections"]
    assert {key: default[key] for key in said} == said
    assert default["roots"] == [str(tmp_path / "mine")]
    assert b["roots"] == [str(tmp_path / "mine" / "build")]
    files = qrank("index", "--db", "new.db", *NO_VECTORS).json()["files"]
    assert (files["unchanged"], files["added"], files["removed"]) == (3, 0, 0)
    # What the index knows already stays; of an export of some collections no others come.
    qrank("collections", "set", "default", "description", "Other", "--db", "new.db")
    assert qrank(*words, stdin=exported).returncode == 0
    described = qrank("collections", "--db", "new.db", "--json").json()["collections"][1]
    assert described["description"] == "Other"
    jsonschema.validate(json.loads(exported.splitlines()[0]), json.loads(schema("export")))
    some = qrank("export", "--collection", "b", "--db", "old.db").stdout.splitlines()[0]
    assert [own["name"] for own in json.loads(some)["collections"]] == ["b"]
    lines = exported.splitlines()
    for wrong in ([1], [{"name": "x"}], [{**said, "name": "x", "roots": [{"path": ""}]}]):
        lines[0] = json.dumps({"qrank": 1, "models": [], "collections": wrong})
        run = qrank("import", "-", "--db", "bad.db", stdin="\n".join(lines))
        assert "line 1 of stdin is not a valid line of an export" in complaint(run)
        assert not (tmp_path / "bad.db").exists()


def test_an_export_of_a_folder_that_moved_is_read_again_by_nobody(
    qrank: Qrank, notes: Path, tmp_path: Path
) -> None:
    qrank("index", "notes", "--db", "old.db", *NO_VECTORS)
    qrank("export", "all.jsonl", "--db", "old.db")
    there = tmp_path / "elsewhere" / "mine"
    there.parent.mkdir()
    notes.rename(there)
    words = ("import", "all.jsonl", "--db", "new.db")
    assert qrank(*words, "--map", f"{notes}=elsewhere/mine").returncode == 0
    files = qrank("index", there, "--db", "new.db", *NO_VECTORS).json()["files"]
    assert (files["unchanged"], files["added"], files["removed"]) == (2, 0, 0)
    run = qrank(*words, "--map", f"{notes}x=elsewhere", "--map", f"{notes / 'sub'}=elsewhere/sub")
    assert (run.returncode, run.stderr.count("no document")) == (0, 1)
    assert f"no document of the export is below {notes}x; they are below {notes}\n" in run.stderr
    for wrong in ("x", "=x", "x="):
        assert "--map takes OLD=NEW" in complaint(qrank(*words, "--map", wrong))
