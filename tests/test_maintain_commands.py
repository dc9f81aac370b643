"""qrank remove, vacuum, export, import and doctor --index, through the installed command."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support import Run, complaint, read_only

Qrank = Callable[..., Run]


@pytest.fixture
def notes(qrank: Qrank, tmp_path: Path) -> Path:
    """Two collections, each with a file of the same name and text, in i.db, with vectors."""
    for name in ("home", "work"):
        folder = tmp_path / name
        (folder / "deep").mkdir(parents=True)
        (folder / "tea.md").write_text("# Tea\n\nSteep green tea for two minutes.\n", "utf-8")
        (folder / "deep" / "own.txt").write_text(f"Only {name} has this \x1b[2J text.\n", "utf-8")
        assert qrank("index", name, "--collection", name, "--db", "i.db").returncode == 0
    return tmp_path


def held(qrank: Qrank, db: str = "i.db") -> tuple[int, int, int, dict[str, int]]:
    """(files, passages, vectors, files by collection)."""
    status = qrank("status", "--db", db, "--json").json()
    return (
        status["files"],
        status["unique_texts"],
        sum(model["vectors"] for model in status["models"]),
        {item["name"]: item["files"] for item in status["collections"]},
    )


def sound(qrank: Qrank, db: str = "i.db") -> bool:
    report = qrank("doctor", "--index", "--json", "--db", db).json()
    assert report["ok"] == all(check["status"] != "fail" for check in report["checks"])
    return bool(report["ok"])


def test_remove_takes_out_folders_that_are_gone_too(qrank: Qrank, notes: Path) -> None:
    assert held(qrank) == (4, 3, 3, {"home": 2, "work": 2})
    (notes / "home" / "deep" / "own.txt").unlink()
    (notes / "home" / "deep").rmdir()
    gone = qrank("remove", "home/deep", "--db", "i.db", "--json").json()
    assert gone == {"schema": 1, "removed": 1, "chunks": 3}
    assert held(qrank) == (3, 2, 2, {"home": 1, "work": 2})
    assert qrank("remove", "--collection", "work", "--db", "i.db").returncode == 0
    assert held(qrank) == (1, 1, 1, {"home": 1})
    assert (notes / "work" / "tea.md").exists()
    assert sound(qrank)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["hom"], "nothing under"),
        (["home", "nowhere"], "nothing under"),
        (["home", "--collection", "work"], "nothing under"),
        (["--collection", "wrok"], "there is no collection wrok; did you mean work?"),
        ([], "nothing to remove"),
    ],
)
def test_what_can_t_be_removed_changes_nothing(
    qrank: Qrank, notes: Path, words: list[str], reason: str
) -> None:
    assert reason in complaint(qrank("remove", *words, "--db", "i.db"))
    assert held(qrank)[0] == 4


def test_vacuum_gives_room_back(qrank: Qrank, tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    for i in range(100):
        text = f"Note {i}. " + " ".join(f"word{i}x{j}" for j in range(400))
        (tmp_path / "big" / f"{i}.md").write_text(text, "utf-8")
    (tmp_path / "keep.md").write_text("Kept.", "utf-8")
    qrank("index", "big", "keep.md", "--no-embed", "--db", "i.db")
    qrank("remove", "big", "--db", "i.db")
    sizes = qrank("vacuum", "--db", "i.db", "--json").json()
    assert sizes["bytes_after"] < sizes["bytes_before"] / 2
    assert sizes["bytes_after"] == (tmp_path / "i.db").stat().st_size
    assert qrank("search", "kept", "--mode", "bm25", "--db", "i.db").returncode == 0
    assert sound(qrank)


def test_an_export_moves_everything_without_embedding_again(qrank: Qrank, notes: Path) -> None:
    assert qrank("export", "all.jsonl", "--db", "i.db").returncode == 0
    assert qrank("import", "all.jsonl", "--db", "j.db", "--json").json() == {
        "schema": 1,
        "documents": 4,
        "vectors": 3,
    }
    assert held(qrank, "j.db") == held(qrank)
    for mode in ("bm25", "vector"):
        words = ("search", "minutes of green tea", "--mode", mode, "--jsonl", "--db")
        one, other = (qrank(*words, db).lines() for db in ("i.db", "j.db"))
        for hit in one + other:
            del hit["id"]
        assert one == other
    for name in ("home", "work"):
        again = qrank("index", name, "--collection", name, "--db", "j.db", "--json").json()
        assert (again["embedded"], again["files"]["unchanged"]) == (0, 2)
    assert sound(qrank, "j.db")
    # And once more, into an index that has it: nothing is doubled, and the lines are the same.
    assert qrank("import", "all.jsonl", "--db", "j.db").returncode == 0
    assert held(qrank, "j.db") == held(qrank)
    assert qrank("export", "--db", "j.db").stdout == (notes / "all.jsonl").read_text("utf-8")


def test_an_export_s_lines_are_for_other_tools_too(qrank: Qrank, notes: Path) -> None:
    first, *lines, last = qrank("export", "--collection", "home", "--db", "i.db").lines()
    assert [model["name"] for model in first["models"]] == ["tiny"]
    assert [Path(line["path"]).name for line in lines if "path" in line] == ["own.txt", "tea.md"]
    texts = [line for line in lines if "text" in line]
    assert "two minutes." in texts[1]["text"]
    [[sha256, vector]] = texts[1]["vectors"].items()
    assert sha256 == first["models"][0]["sha256"]
    assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-3)
    assert last == {"end": 2}
    bare = qrank("export", "--no-vectors", "--db", "i.db").lines()
    assert bare[0]["models"] == []
    assert all(not line["vectors"] for line in bare if "text" in line)


def test_an_export_that_is_cut_off_or_wrong_is_said(qrank: Qrank, notes: Path) -> None:
    lines = qrank("export", "--db", "i.db").stdout.splitlines(keepends=True)
    document = json.loads(lines[1])
    for number, (broken, reason) in enumerate(
        {
            "".join(lines[:-1]): "the last line is missing",
            "".join(lines[:3]) + lines[3][:40]: "line 4",
            "".join([*lines[:3], lines[3].replace('"hash"', '"hush"'), *lines[4:]]): "'hash'",
            "".join([lines[0], *lines[2:]]): "a chunk without its document",
            "".join([*lines[:2], lines[2].replace("[0.", '["x", 0.'), *lines[3:]]): "numbers",
            "[]\n": "line 1 of stdin is not a valid line of an export",
            '{"qrank": 9, "models": []}\n': "format 9",
            "".join(
                [lines[0], json.dumps(document | {"size": 10**30}) + "\n", *lines[2:]]
            ): "whole",
            "": "it is empty; is it an export?",
            "".join([*lines[:4], lines[4].replace('"passage"', '"?"'), *lines[5:]]): "'passage'",
        }.items()
    ):
        run = qrank("import", "-", "--db", f"{number}.db", stdin=broken)
        said = complaint(run)
        assert reason in said
        if "line 1 of stdin" in said:  # no export at all
            assert not (notes / f"{number}.db").exists()
        else:
            assert sound(qrank, f"{number}.db")
    # What came before the broken line is in, whole.
    assert held(qrank, "9.db")[0] == 1
    assert "no such file" in complaint(qrank("import", "nowhere.jsonl", "--db", "x.db"))
    (notes / "locked").mkdir()
    assert "can't write" in complaint(qrank("export", "locked", "--db", "i.db"))


def test_filters_by_type_and_date(qrank: Qrank, notes: Path) -> None:
    os.utime(notes / "home" / "tea.md", (1_000_000_000, 1_000_000_000))  # 2001-09-09
    qrank("index", "home", "--collection", "home", "--db", "i.db")
    for mode in ("bm25", "vector"):
        words = ("search", "green tea text only", "--mode", mode, "-l", "--db", "i.db")

        def names(*more: str, words: tuple[str, ...] = words) -> list[str]:
            paths = qrank(*words, *more).stdout.splitlines()
            return sorted("/".join(Path(path).parts[-2:]) for path in paths)

        assert names("--type", "md") == ["home/tea.md", "work/tea.md"]
        assert names("--type", ".TXT") == ["deep/own.txt", "deep/own.txt"]
        assert names("--until", "2002-01-01") == ["home/tea.md"]
        assert names("--since", "2002-01-01", "--type", "md") == ["work/tea.md"]
        assert names("--since", "2002-01-01", "--until", "2003-01-01") == []


def test_an_index_on_a_read_only_medium_is_searched_and_not_written(
    qrank: Qrank, notes: Path
) -> None:
    place = notes / "medium"
    place.mkdir()
    (notes / "i.db").rename(place / "i.db")
    with read_only(place) as prefix:
        for words in (["search", "green tea"], ["status"], ["doctor", "--index"], ["export"]):
            assert qrank(*words, "--db", place / "i.db", prefix=prefix).returncode == 0
        for words in (["remove", "home"], ["vacuum"], ["index", "home"]):
            said = complaint(qrank(*words, "--db", place / "i.db", prefix=prefix))
            assert "permissions" in said
    assert [path.name for path in place.iterdir()] == ["i.db"]


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        ("DELETE FROM vector WHERE passage_id = 1", "vectors"),
        ("UPDATE vector SET slot = slot + 1", "vectors"),
        ("UPDATE segment SET used = 9", "vectors"),
        ("UPDATE code SET codes = x'00'", "vectors"),
        ("DELETE FROM terms_docsize WHERE id = 1", "full text"),
        ("UPDATE terms_data SET block = x'00' WHERE id > 10", "full text"),
        ("UPDATE chunk SET packed_terms = x'ff' WHERE id = 1", "stored terms"),
        ("DELETE FROM chunk WHERE id = 1", "references"),
        ("DELETE FROM passage WHERE id = 1", "references"),
    ],
)
def test_doctor_finds_what_is_damaged(qrank: Qrank, notes: Path, damage: str, check: str) -> None:
    assert sound(qrank)
    with closing(sqlite3.connect(notes / "i.db")) as connection, connection:
        assert connection.execute(damage).rowcount
    run = qrank("doctor", "--index", "--json", "--db", "i.db")
    assert run.returncode == 1
    failed = {item["name"]: item for item in run.json()["checks"] if item["status"] == "fail"}
    assert check in failed
    assert failed[check]["hint"]


def test_doctor_tells_what_is_unfinished_from_damage(qrank: Qrank, notes: Path) -> None:
    (notes / "home" / "new.md").write_text("New.", "utf-8")
    qrank("index", "home", "--collection", "home", "--no-embed", "--db", "i.db")
    run = qrank("doctor", "--index", "--db", "i.db")
    assert run.returncode == 0
    assert (
        "warn  complete: an interrupted run left unique texts without a vector from" in run.stdout
    )
