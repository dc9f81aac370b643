"""Index files of every released version can be opened, and are upgraded once.

tests/indexes/ holds a real file of each, made by the qrank of its time from /srv/notes (five small
files, two of them in a second collection) with the bundled models, VACUUMed, gzip -9n.
"""

from __future__ import annotations

import gzip
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support import COMMAND, ROOT, Run, complaint, read_only

from qrank.llama.gguf import sha256
from qrank.models.registry import Registry, Role
from qrank.store import open_store, schema
from qrank.store.filters import EVERYTHING
from qrank.store.interface import Store

INDEXES = ROOT / "tests" / "indexes"
RELEASED = sorted(int(p.name.split("-")[1].split(".")[0]) for p in INDEXES.glob("version-*.db.gz"))


def old_index(folder: Path, version: int) -> Path:
    path = folder / f"version-{version}.db"
    path.write_bytes(gzip.decompress((INDEXES / f"{path.name}.gz").read_bytes()))
    return path


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return schema.version(connection)


@pytest.mark.parametrize("version", RELEASED)
@pytest.mark.parametrize("write", [False, True])
def test_an_older_index_is_upgraded_and_has_lost_nothing(
    tmp_path: Path, version: int, write: bool
) -> None:
    path = old_index(tmp_path, version)
    assert version_of(path) == version
    with open_store(path, write=write) as store:
        held = store.status()
        assert (held["files"], held["chunks"], held["unique_texts"]) == (7, 7, 4)
        assert [model["vectors"] for model in held["models"]] == [4]
        [tea, copy] = store.chunks(i for i, _ in store.bm25(["steep"], 9, EVERYTHING)).values()
        assert {tea.path, copy.path} == {"/srv/notes/tea.md", "/srv/notes/copy.md"}
        assert [*store.missing_vectors(store.models()[0].id)] == []
    assert version_of(path) == schema.VERSION


@pytest.mark.parametrize("version", RELEASED)
def test_an_older_index_is_searched_by_the_command(
    qrank: Callable[..., Run], tmp_path: Path, version: int
) -> None:
    path = old_index(tmp_path, version)
    with closing(sqlite3.connect(path)) as connection, connection:
        # The file has the `tiny` of its day, which may have been trained anew since.
        tiny = Registry().resolve(Role.embedder, "tiny").path
        assert tiny
        connection.execute("UPDATE model SET sha256 = ?", (sha256(tiny),))
    found = qrank("search", "how long does black tea steep", "--db", path, "--json")
    best = found.json()["results"][0]
    assert best["path"] in ("/srv/notes/tea.md", "/srv/notes/copy.md")
    assert found.json()["models"]["embed"] == "tiny"
    assert f"upgrading the index {path}" in found.stderr
    assert "upgrading" not in qrank("search", "tea", "--db", path).stderr


def test_two_searches_upgrade_once(tmp_path: Path, environment: dict[str, str]) -> None:
    path = old_index(tmp_path, 1)
    words = [COMMAND, "search", "tea", "--db", path, "-l"]
    runs = [
        subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    ends = [(*run.communicate(timeout=120), run.returncode) for run in runs]
    assert [status for _, _, status in ends] == [0] * 4, ends
    assert len({out for out, _, _ in ends}) == 1
    assert version_of(path) == schema.VERSION


def test_an_upgrade_that_fails_leaves_the_old_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = old_index(tmp_path, 1)

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TABLE vector")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(schema, "STEPS", (*schema.STEPS[:1], fail, *schema.STEPS[2:]))
        with pytest.raises(KeyboardInterrupt):
            open_store(path, write=True)
    assert version_of(path) == 1
    with open_store(path) as store:
        assert store.status()["models"][0]["vectors"] == 4


def test_the_documentation_knows_all_tables_and_methods(tmp_path: Path) -> None:
    with open_store(tmp_path / "i.db", write=True):
        pass
    with closing(sqlite3.connect(tmp_path / "i.db")) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM pragma_table_list")]
    tables = [n for n in names if not n.startswith(("sqlite_", "terms_"))]
    page = (ROOT / "docs" / "index-file.md").read_text("utf-8")
    assert f"`user_version` {schema.VERSION})" in page
    assert len(tables) >= 10
    assert [name for name in tables if f"| `{name}` |" not in page] == []
    methods = [name for name in vars(Store) if not name.startswith("_")]
    page = (ROOT / "docs" / "store.md").read_text("utf-8")
    assert "bm25" in methods
    assert [name for name in methods if f"`{name}" not in page] == ["path", "close"]


def test_where_it_can_t_be_upgraded_it_is_refused_in_a_line(
    qrank: Callable[..., Run], tmp_path: Path
) -> None:
    place = tmp_path / "medium"
    place.mkdir()
    path = old_index(place, 1)
    with read_only(place) as prefix:
        said = complaint(qrank("search", "tea", "--db", path, prefix=prefix))
    assert "an index of version 1" in said
    assert "copy it" in said
    assert version_of(path) == 1


@pytest.mark.parametrize("version", [version for version in RELEASED if version >= 7])
def test_fields_of_an_older_index_can_be_asked_for(
    qrank: Callable[..., Run], tmp_path: Path, version: int
) -> None:
    path = old_index(tmp_path, version)
    words = ("search", "steep", "--copies", "--mode", "bm25", "--db", path, "--format", "{path}")
    for condition in ("tags=travel", "date>=2026-06"):
        found = qrank(*words, "--where", condition).stdout.splitlines()
        assert sorted(found) == ["/srv/notes/copy.md", "/srv/notes/tea.md"]
    assert qrank(*words, "--where", "tags=home").returncode == 1


@pytest.mark.parametrize("version", [version for version in RELEASED if version >= 7])
def test_an_older_index_knows_its_folders_if_it_did_then(
    qrank: Callable[..., Run], tmp_path: Path, version: int
) -> None:
    path = old_index(tmp_path, version)
    with open_store(path, write=True):  # which upgrades it
        pass
    if version < 10:
        said = complaint(qrank("index", "--db", path, "--no-embed"))
        assert "which folders default and sea is made of" in said
        return
    default, sea = qrank("collections", "--db", path, "--json").json()["collections"]
    assert (default["roots"], sea["roots"]) == (["/srv/notes"], ["/srv/notes/deep"])
    assert (default["description"], sea["description"]) == ("", "Notes on the sea")
    done = qrank("index", "--db", path, "--no-embed")  # the folders are not there
    assert "/srv/notes does not exist now: its documents stay indexed" in done.stderr
    found = qrank("search", "steep", "--db", path, "--copies", "--mode", "bm25", "-l")
    assert sorted(found.stdout.split()) == ["/srv/notes/copy.md", "/srv/notes/tea.md"]
