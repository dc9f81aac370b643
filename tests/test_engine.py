"""An index in a real search engine: the same commands, and its own failures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import engine
import pytest
from support import Run, complaint
from test_store import add, add_vectors

from qrank import Index
from qrank.errors import IndexFileError
from qrank.store import Layout, create_store, open_store
from qrank.store.filters import EVERYTHING
from qrank.urls import index_place

FILES = {
    "tea.md": "---\nrating: 5\ntags: [green, hot]\n---\n# Green tea\n\nSteep it for two minutes.\n",
    "sub/coffee.txt": "Coffee is ground fine and brewed under pressure.\n",
    "sub/stock.csv": "item,price\nkettle,25\nteapot,40\ncup,5\n",
    "thé.md": "# Le thé\n\nLe thé vert infuse deux minutes dans une eau très chaude.\n",
}


MORE_FILES = {
    "links.md": "---\ndate: 2024-05-06\nauthor: Jane Smith\n---\n# Links\n\n"
    "You receive a kettle for tea: see [[tea]] and [the other](sub/coffee.txt), [[nowhere]].\n",
    "copy.md": "---\nrating: 4\n---\n# Green tea\n\nSteep it for two minutes.\n",
}


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The URL of an empty index."""
    made = engine.index_for(tmp_path)
    create_store(index_place(made), Layout(shards=2, replicas=0))
    yield made
    engine.delete_index(made)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_files(tmp_path / "files")


def with_files(folder: Path) -> Path:
    """The folder, with FILES in it."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def names(run: Run) -> list[str]:
    assert run.returncode in (0, 1), run.stderr
    return [Path(result["path"]).name for result in json.loads(run.stdout)["results"]]


def ask(url: str, method: str = "GET", body: object = None) -> dict[str, object]:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urlopen(request) as answer:
        return dict(json.load(answer))


@pytest.mark.parametrize(
    "words",
    [
        ["how long does green tea steep"],
        ["coffee pressure", "--mode", "bm25"],
        ["--mode", "vector", "brewing an espresso"],
        ['"two minutes"'],
        ["minutes -steep"],
        ["title:green minutes"],
        ["minutes", "--type", "md"],
        ["kettle cup price", "--where", "price>20"],
        ["tea", "--where", "rating=5"],
        ["tea", "--where", "tags=hot"],
        ["deux", "--where", "tags?"],
        ["tea coffee", "--path", "sub"],
        ["thé vert", "--mode", "bm25"],
        ["tea", "--since", "2001-01-01"],
        ["tea", "--until", "2001-01-01"],
        ["-E", "m.n[a-z]tes"],
        ["-E", "(?i)STEEP|brewed", "--per-file", "1"],
        ["-F", "very hot"],
        ["-F", "two minutes.", "minutes"],
        ["tea", "--sort", "date"],
        ["tea coffee", "--sort", "path"],
        ["tea", "--where", "rating>=5"],
        ["tea", "--where", "rating?"],
        ["tea", "--where", "tags!=hot"],
        ["tea", "--where", "tags=hot|cold"],
        ["kettle", "--where", "price=20..30"],
        ["tea", "--where", "title~green"],
        ["tea", "--where", "size>80"],
        ["tea coffee", "--where", "type=md"],
        ["coffee", "--where", "path~coffee"],
        ["tea", "--where", "author~smith"],
        ["tea", "--where", "date>=2024"],
        ["tea", "--where", "date<2024-05-06"],
        ["tea", "--where", "mtime>=2w"],
        ["tea tag:green"],
        ['kettle author:"Jane Smith"'],
        ["tea ext:md"],
        ["coffee path:sub/"],
        ["tea", "--until", "2024-05-06"],
        ["tea coffee", "--path", "*.t?t"],
        ["tea coffee", "--path", "[st]*"],
        ["tea", "--offset", "1"],
        ["green tea steep", "--per-file", "1"],
        ["tea", "--copies"],
        ["brew*"],
        ["--links-to", "tea.md", "kettle"],
        ["--linked-from", "links.md", "coffee"],
        ["recieve", "--mode", "bm25"],
    ],
)
def test_an_engine_answers_as_a_file_does(
    qrank: Callable[..., Run],
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    words: list[str],
) -> None:
    both = both_indexes(qrank, folder, tmp_path_factory)
    flags = ("search", "--json", "--no-rerank", "--db")
    found = [names(qrank(*flags, db, *words, cwd=_made_of[0])) for db in both]
    assert sorted(found[0]) == sorted(found[1])
    assert found[0][:1] == found[1][:1]


@pytest.mark.parametrize(
    "words",
    [
        ["fields", "--json"],
        ["fields", "tags", "--json"],
        ["fields", "price", "--where", "price>5", "--json"],
        ["links", "links.md", "--json"],
        ["links", "tea.md", "--json"],
        ["get", "tea.md:1-6", "--json"],
        ["get", "*.md", "--max-tokens", "100"],
        ["get", "sub/coffee.txt", "--around", "3"],
        ["collections", "--json"],
        ["similar", "tea.md", "--mode", "bm25", "-l"],
        ["search", "recieve", "--mode", "bm25", "--json"],
        ["search", "k8s", "--mode", "bm25", "--json"],
        ["search", "tea", "--mode", "bm25", "--where", "nowhere=1"],
        ["search", "tea", "--mode", "bm25", "--where", "rating>=tea"],
        ["search", "-E", "(", "tea"],
        ["links", "nowhere.md"],
        ["get", "nowhere.md"],
        ["status", "tea.md", "--json"],
        ["status", "sub", "--json"],
    ],
)
def test_an_engine_says_what_a_file_does(
    qrank: Callable[..., Run],
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    environment: dict[str, str],
    words: list[str],
) -> None:
    both = both_indexes(qrank, folder, tmp_path_factory)
    synonyms = Path(both[0]).with_name("synonyms.txt")
    synonyms.write_text("k8s = kettle\n")
    own = Path(environment["HOME"]) / ".local/share/qrank/synonyms.txt"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(synonyms.read_text())
    said = [qrank(*words, cwd=_made_of[0], QRANK_DB=db) for db in both]
    shown = [_comparable(run.stdout + run.stderr, db) for run, db in zip(said, both, strict=True)]
    assert shown[0] == shown[1]
    assert said[0].returncode == said[1].returncode


def _comparable(text: str, db: str) -> str:
    """What was said, without what two indexes may differ in."""
    text = text.replace(db, "DB")
    different = r'"(score|bm25|total|indexed_at|[a-z_]*ms|[a-z0-9_]*)": ([0-9.e-]+|"20[^"]+")'
    return re.sub(
        different, lambda m: m[0] if m[1] in ("count", "chunks") else f'"{m[1]}": _', text
    )


_made: list[str] = []
_made_of: list[Path] = []


def both_indexes(
    qrank: Callable[..., Run], folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """The same files in a file and in an engine, indexed once."""
    if not _made:
        place = tmp_path_factory.mktemp("both")
        for name, text in MORE_FILES.items():
            (folder / name).write_text(text)
        url = engine.index_for(place)
        create_store(index_place(url), Layout(replicas=0))
        for db in (str(place / "index.db"), url):
            done = qrank("index", folder, "--db", db)
            assert done.returncode == 0, done.stderr
            _made.append(db)
        _made_of.append(folder)
    return _made


def test_files_that_change_go_or_come_back(
    qrank: Callable[..., Run], folder: Path, url: str
) -> None:
    assert "4 added" in qrank("index", folder, "--no-embed", QRANK_DB=url).stdout
    (folder / "tea.md").write_text("# Black tea\n\nFour minutes.\n")
    (folder / "sub/coffee.txt").unlink()
    done = qrank("index", folder, "--no-embed", QRANK_DB=url)
    assert "1 updated, 1 removed, 2 unchanged" in done.stdout
    found = qrank("search", "tea coffee", "--json", "--mode", "bm25", QRANK_DB=url)
    assert names(found) == ["tea.md"]
    assert qrank("remove", folder / "sub", QRANK_DB=url).returncode == 0
    held = json.loads(qrank("status", "--json", QRANK_DB=url).stdout)
    assert (held["files"], held["db"]) == (2, url)
    assert qrank("doctor", "--index", QRANK_DB=url).returncode == 0
    assert qrank("vacuum", QRANK_DB=url).returncode == 0
    assert names(qrank("search", "tea", "--json", "--mode", "bm25", QRANK_DB=url)) == ["tea.md"]


def test_another_machine_finds_files_unknown_or_maps_their_folder(
    qrank: Callable[..., Run], folder: Path, url: str, tmp_path: Path
) -> None:
    assert qrank("index", folder, "--no-embed", QRANK_DB=url).returncode == 0
    here = tmp_path / "of a colleague"
    folder.rename(here)
    words = ("search", "minutes", "--json", "--mode", "bm25")

    def found(*more: object, **environment: str) -> dict[str, object]:
        run = qrank(*words, *more, QRANK_DB=url, **environment)
        return {result["path"]: result["stale"] for result in json.loads(run.stdout)["results"]}

    there = {f"{folder}/{name}": None for name in ("tea.md", "thé.md")}
    assert found() == found("--stale", "drop") == found("--stale", "fail") == there
    shown = qrank("search", "green", "--mode", "bm25", QRANK_DB=url).stdout
    assert "not on this machine" in shown
    assert "place" in qrank("status", folder / "tea.md", QRANK_DB=url).stdout
    assert found("--path", here) == {}

    own = {f"{here}/{name}": False for name in ("tea.md", "thé.md")}
    mapped = {"QRANK_MAP": f"{folder}={here}"}
    assert found(**mapped) == found("--path", here, **mapped) == own
    assert found("--path", f"{here}/t*.md", **mapped) == own
    assert found("--where", f"path={here}/tea.md", **mapped) == {f"{here}/tea.md": False}
    got = qrank("get", here / "sub/coffee.txt", QRANK_DB=url, **mapped)
    assert "pressure" in got.stdout
    listed = qrank("collections", QRANK_DB=url, **mapped).stdout
    assert here.name in listed
    (here / "tea.md").write_text("# Green tea\n\nThree minutes.\n")
    (here / "thé.md").unlink()
    assert found(**mapped) == dict.fromkeys(own, True)
    done = qrank("index", "--no-embed", QRANK_DB=url, **mapped)
    assert "1 updated, 1 removed, 2 unchanged" in done.stdout, done.stderr
    assert found(**mapped) == {f"{here}/tea.md": False}
    assert found() == {f"{folder}/tea.md": None}
    said = complaint(qrank(*words, QRANK_DB=url, QRANK_MAP="nowhere"))
    assert "the setting map takes OLD=NEW" in said


def test_an_index_moves_to_an_engine_and_back(
    qrank: Callable[..., Run], folder: Path, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "index.db"
    assert qrank("index", folder, "--db", file).returncode == 0
    first = qrank("export", "--db", file).stdout
    assert qrank("import", "-", "--db", url, stdin=first).returncode == 0
    second = qrank("export", "--db", url).stdout
    rows = [[json.loads(line) for line in text.splitlines()] for text in (first, second)]
    assert len(rows[0]) == len(rows[1]) > 8
    for one, other in zip(*rows, strict=True):
        made = [one.pop("vectors", {}), other.pop("vectors", {})]
        assert one == other
        for model, vector in made[0].items():
            assert made[1][model] == pytest.approx(vector, abs=2e-4)
    assert "0 chunks embedded" in qrank("index", folder, "--db", url).stdout


def test_a_chunk_is_written_once_with_its_vector(
    qrank: Callable[..., Run], folder: Path, url: str
) -> None:
    done = qrank("index", folder, "--db", url)
    assert done.returncode == 0, done.stderr
    found: Any = ask(f"{url}/_search?size=99&version=true&q=kind:chunk")
    hits = found["hits"]["hits"]
    assert f"{len(hits)} chunks embedded" in done.stdout
    assert {hit["_version"] for hit in hits} == {1}
    assert all("v1" in hit["_source"] for hit in hits)


def test_what_goes_wrong_is_one_line(qrank: Callable[..., Run], url: str, tmp_path: Path) -> None:
    base = url.rpartition("/")[0]
    said = complaint(qrank("search", "tea", "--db", "http://127.0.0.1:1/notes"))
    assert said.startswith("qrank: http://127.0.0.1:1 can't be reached: ")
    assert "there is no index at" in complaint(qrank("search", "tea", "--db", f"{base}/nowhere"))
    assert "can't be used as an index's URL" in complaint(qrank("search", "tea", "--db", base))
    assert "can't be used" in complaint(qrank("search", "tea", "--db", "https://u:p@host/notes"))
    ask(f"{url}-other", "PUT", {"settings": {"number_of_replicas": 0}})
    ask(f"{url}-other/_doc/1?refresh=true", "PUT", {"a": 1})
    try:
        said = complaint(qrank("init", "--db", f"{url}-other"))
        assert "is not an index of qrank" in said
    finally:
        ask(f"{url}-other", "DELETE")
    ask(f"{url}/_settings", "PUT", {"index.blocks.read_only_allow_delete": True})
    (tmp_path / "a.md").write_text("tea\n")
    said = complaint(qrank("index", "a.md", "--no-embed", "--db", url))
    assert "too full" in said
    ask(f"{url}/_settings", "PUT", {"index.blocks.read_only_allow_delete": None})
    assert qrank("index", "a.md", "--no-embed", "--db", url).returncode == 0


def test_a_newer_version_s_index_is_refused(qrank: Callable[..., Run], url: str) -> None:
    held = ask(f"{url}-meta/_doc/state")["_source"]
    assert isinstance(held, dict)
    for newer in ({"format": 99}, {"analyser": 99}):
        ask(f"{url}-meta/_doc/state", "PUT", held | newer)
        assert "newer version of qrank" in complaint(qrank("search", "tea", "--db", url))


def test_the_second_run_on_a_collection_says_who_holds_it(
    qrank: Callable[..., Run], folder: Path, url: str
) -> None:
    with closing(open_store(index_place(url), write=True)) as store:
        store.hold("default")
        said = complaint(qrank("index", folder, "--no-embed", "--db", url))
        assert "is being changed by" in said
        assert f"(process {os.getpid()})" in said
        assert (
            qrank("index", folder, "--no-embed", "--collection", "b", "--db", url).returncode == 0
        )
    assert qrank("index", folder, "--no-embed", "--db", url).returncode == 0


def test_nothing_of_a_transaction_is_seen_before_its_end(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qrank.store.opensearch.writing.HELD_ENTRIES", 10)
    monkeypatch.setattr("qrank.store.opensearch.state.FRESH_SECONDS", 0.0)
    place = index_place(url)
    with closing(open_store(place, write=True)) as store, closing(open_store(place)) as reader:
        add(store, "/a", [f"old {i}" for i in range(50)])
        with store.transaction():
            store.remove_documents([file.id for file in store.files("notes", ["/a"])])
            add_many = [f"new {i}" for i in range(50)]
            _add_inside(store, "/a", add_many)
            ask(f"{url}/_refresh", "POST")  # as another writer's would
            assert len(reader.bm25(["new", "old"], 99, EVERYTHING)) == 50
            assert reader.bm25(["new"], 99, EVERYTHING) == []
            assert reader.count_chunks() == 50
        assert len(reader.bm25(["new", "old"], 99, EVERYTHING)) == 50
        assert reader.bm25(["old"], 99, EVERYTHING) == []


def _add_inside(store: object, path: str, texts: list[str]) -> None:
    """Add a document in a transaction that goes on."""
    from contextlib import nullcontext
    from unittest.mock import patch

    with patch.object(store, "transaction", nullcontext):
        add(store, path, texts)  # type: ignore[arg-type]


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from qrank.store import open_store
from qrank.store.opensearch import leases, writing
from qrank.urls import index_place
import test_store
leases.SECONDS = 4.0
writing.HELD_ENTRIES = 10
store = open_store(index_place(sys.argv[1]), write=True)
test_store.add(store, "/kept", ["kept"])
commit = writing.Writer._flip
writing.Writer._flip = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
test_store.add(store, "/lost", [f"lost {i}" for i in range(50)])
"""


def test_what_a_killed_run_left_is_never_seen_and_cleared(url: str) -> None:
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", KILLED, url, here], check=False, timeout=120)
    assert done.returncode == -9
    ask(f"{url}/_refresh", "POST")
    counted = ask(f"{url}/_count")["count"]
    assert isinstance(counted, int)
    assert counted > 50
    with closing(open_store(index_place(url), write=True)) as store:
        assert store.count_chunks() == 1
        assert store.bm25(["lost"], 9, EVERYTHING) == []
        for _ in range(60):  # until the lease has run out
            try:
                store.hold("notes")
                break
            except IndexFileError:
                time.sleep(0.5)
        add(store, "/more", ["more"])
        assert store.count_chunks() == 2
    assert ask(f"{url}/_count")["count"] == 4  # two files with a chunk each


def test_vectors_of_many_files_are_counted_page_by_page(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qrank.store.opensearch.counts.PAGE", 3)
    with closing(open_store(index_place(url), write=True)) as store:
        for i in range(10):
            add(store, f"/notes/{i}", [f"text {i}", f"other {i}"])
        add_vectors(store)
        files = [*store.indexed_files("/notes")]
        assert [file.vectors for file in files] == [2] * 10
        assert [file.path for file in files] == [f"/notes/{i}" for i in range(10)]


def test_what_a_process_writes_it_reads_at_once(folder: Path, url: str) -> None:
    with Index(url) as index:
        index.add([folder], embed=False)
        assert index.search("pressure", mode="bm25").results
        (folder / "sub/coffee.txt").write_text("Cocoa is stirred.\n")
        index.add([folder], embed=False)
        assert index.search("pressure", mode="bm25").results == []
        [result] = index.search("cocoa", mode="bm25").results
        assert [each.text for each in index.at(result.id)] == ["Cocoa is stirred."]
        index.remove([folder / "sub"])
        assert index.search("cocoa", mode="bm25").results == []
        assert index.status()["chunks"] == 2


def test_chunks_are_found_whatever_is_cached(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qrank.store.opensearch.store.MOST_SEEN", 2)
    with closing(open_store(index_place(url), write=True)) as store:
        add(store, "/a", [f"text {i}" for i in range(10)])
        ids = [*store.ids_in_order(EVERYTHING)]
        assert [*store.chunks(ids[:3])] == ids[:3]
        assert [*store.chunks(ids)] == ids
        assert {*store.siblings(ids)} == {*ids}


def test_fields_that_only_some_shards_have_are_listed(
    qrank: Callable[..., Run], folder: Path, url: str
) -> None:
    for name, text in MORE_FILES.items():
        (folder / name).write_text(text)
    for db in ("index.db", url):
        assert qrank("index", folder, "--no-embed", "--db", db).returncode == 0
    for words in (["fields", "--json"], ["fields", "tags", "--json"], ["fields", "author"]):
        said = [qrank(*words, "--db", db).stdout for db in ("index.db", url)]
        assert said[0] == said[1]
