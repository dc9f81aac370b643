"""Access to an index in a real search engine: keys, certificates, rights, and its creation."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import engine
import engine_proxy
import pytest
from support import Run, complaint
from test_engine import MORE_FILES, ask, names, with_files

from qrank.store import Layout, create_store
from qrank.urls import index_place


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The URL of an empty index."""
    made = engine.index_for(tmp_path)
    create_store(index_place(made), Layout(replicas=0))
    yield made
    engine.delete_index(made)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return with_files(tmp_path / "files")


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("right", "header"),
    [
        ("me:secret-word", "Basic bWU6c2VjcmV0LXdvcmQ="),
        ("secret-word", "ApiKey secret-word"),
        ("Bearer secret-word", "Bearer secret-word"),
    ],
)
def test_a_key_that_is_wrong_is_one_line(
    qrank: Callable[..., Run], folder: Path, url: str, right: str, header: str, status: int
) -> None:
    base, _, name = url.rpartition("/")
    with engine_proxy.proxy(base, header, status) as address:
        db = f"{address}/{name}"
        for key in ({}, {"QRANK_INDEX_KEY": right.replace("word", "other")}):
            for words in (("search", "tea"), ("index", folder, "--no-embed"), ("init",)):
                said = complaint(qrank(*words, "--db", db, **key))
                assert f"{address} rejected the user or the key ({status})" in said
                assert "QRANK_INDEX_KEY" in said
                assert "secret" not in said
        done = qrank("index", folder, "--no-embed", "--db", db, QRANK_INDEX_KEY=right)
        assert done.returncode == 0, done.stderr
        assert "secret" not in done.stdout + done.stderr


def test_a_certificate_is_trusted_when_its_authority_is_named(
    qrank: Callable[..., Run], folder: Path, url: str, tmp_path: Path
) -> None:
    base, _, name = url.rpartition("/")
    own = engine_proxy.certificate(tmp_path)
    with engine_proxy.proxy(base, tls=own) as address:
        db = f"{address}/{name}"
        said = complaint(qrank("search", "tea", "--db", db))
        assert f"the certificate of {address} can't be trusted" in said
        assert "SSL_CERT_FILE" in said
        done = qrank("index", folder, "--no-embed", "--db", db, SSL_CERT_FILE=own[0])
        assert done.returncode == 0, done.stderr
        words = ("search", "coffee", "--json", "--mode", "bm25", "--db", db)
        assert names(qrank(*words, SSL_CERT_FILE=own[0])) == ["coffee.txt"]
        for file in (tmp_path / "nowhere.pem", own[1]):
            said = complaint(qrank("search", "tea", "--db", db, SSL_CERT_FILE=file))
            assert f"SSL_CERT_FILE names {file}, which can't be used" in said
        plain = complaint(qrank("search", "tea", "--db", db.replace("https:", "http:")))
        assert "can't be reached" in plain
    said = complaint(qrank("search", "tea", "--db", url.replace("http:", "https:")))
    assert "TLS" in said


def test_a_project_can_name_no_server(qrank: Callable[..., Run], tmp_path: Path) -> None:
    assert qrank("init").returncode == 0
    (tmp_path / ".qrank/config.toml").write_text('db = "http://127.0.0.1:1/notes"\n')
    assert "a project can't set the setting 'db'" in complaint(qrank("search", "tea"))


def test_the_user_s_own_settings_may_name_one(
    qrank: Callable[..., Run], folder: Path, url: str
) -> None:
    assert qrank("config", "set", "db", url).returncode == 0
    assert url in qrank("index", folder, "--no-embed").stdout
    assert names(qrank("search", "--json", "--mode", "bm25", "coffee")) == ["coffee.txt"]


def test_an_account_that_may_only_read_can_search(
    qrank: Callable[..., Run], folder: Path, url: str, tmp_path: Path
) -> None:
    (folder / "links.md").write_text(MORE_FILES["links.md"])
    assert qrank("index", folder, "--db", url).returncode == 0
    exported = qrank("export", "--db", url).stdout
    (tmp_path / "queries.jsonl").write_text(
        json.dumps({"query": "coffee", "relevant": f"{folder}/sub/coffee.txt"}) + "\n"
    )
    base, _, name = url.rpartition("/")
    tea = folder / "tea.md"
    reading: list[tuple[object, ...]] = [
        ("search", "coffee"),
        ("search", "kettle", "--mode", "bm25", "-l"),
        ("search", "-E", "m.n"),
        ("status",),
        ("status", "--json"),
        ("status", tea),
        ("status", folder),
        ("open", f"{tea}:3"),
        ("similar", tea),
        ("get", tea),
        ("get", f"{folder}/*.md"),
        ("links", tea),
        ("fields",),
        ("collections",),
        ("export",),
        ("doctor", "--index"),
        ("eval", "queries.jsonl", "--configs", "bm25"),
    ]
    writing: list[tuple[object, ...]] = [
        ("index", folder),
        ("index",),
        ("remove", tea),
        ("vacuum",),
        ("import", "-"),
        ("collections", "set", "default", "description", "about drinks"),
    ]
    with engine_proxy.proxy(base, reads_only=True) as address:
        db = f"{address}/{name}"
        for words in reading:
            done = qrank(*words, "--db", db)
            assert (words, done.returncode) == (words, 0), done.stderr
            assert "may only" not in done.stderr
        assert "index        " + db in qrank("status", "--db", db).stdout.splitlines()
        assert "may not use /_cluster/health" in qrank("doctor", "--index", "--db", db).stdout
        (folder / "tea.md").write_text("# Green tea\n\nThree minutes.\n")
        done = qrank("search", "--refresh", "tea", "--db", db)
        assert done.returncode == 0
        assert f"not refreshed: this account may only read {db} (403)" in done.stderr
        for words in writing:
            said = complaint(qrank(*words, "--db", db, stdin=exported))
            assert said.startswith(f"qrank: this account may only read {db} (403); put the key of")
        said = complaint(qrank("init", "--db", f"{db}-new"))
        assert f"this account may not use / of {address} (403)" in said


CUT = """
import os, signal, sys
from qrank.store import Layout, create_store
from qrank.store.opensearch.client import Engine
from qrank.urls import index_place
ask, left = Engine.ask, int(sys.argv[2])
def count(self, method, *words, **options):
    global left
    answer = ask(self, method, *words, **options)
    left -= method == "PUT"
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
Engine.ask = count
create_store(index_place(sys.argv[1]), Layout(shards=2, replicas=0))
"""


def test_a_hybrid_search_makes_at_most_six_requests(
    qrank: Callable[..., Run], folder: Path, url: str
) -> None:
    base, _, name = url.rpartition("/")
    assert qrank("index", folder, "--embed-model", "tiny", "--db", url).returncode == 0
    for new, notice in ((False, ""), (True, "1 of 7 chunks have no vector yet")):
        if new:
            (folder / "new.md").write_text("# Iced tea\n\nSteep it cold, for a night.\n")
            assert qrank("index", folder, "--no-embed", "--db", url).returncode == 0
        requests: list[str] = []
        with engine_proxy.proxy(base, requests=requests) as address:
            words = ("steep tea for two minutes", "--no-rerank", "--db", f"{address}/{name}")
            found = qrank("search", *words)
        assert found.returncode == 0, found
        assert notice in found.stderr
        assert ("vector" in found.stderr) is new
        assert 0 < len(requests) <= 6


@pytest.mark.parametrize("requests", [1, 2, 3])
def test_an_init_that_was_cut_is_repeated(
    qrank: Callable[..., Run], folder: Path, tmp_path: Path, requests: int
) -> None:
    url = engine.index_for(tmp_path)
    done = subprocess.run([sys.executable, "-c", CUT, url, str(requests)], check=False, timeout=60)
    assert done.returncode == -9
    try:
        if requests < 3:
            assert "make one with qrank init" in complaint(qrank("search", "tea", "--db", url))
        said = complaint(qrank("init", "--shards", 3, "--db", url))
        assert f"{url} has 2 shards, not 3; " in said
        assert ("delete" in said) is (requests < 3)
        done = qrank("init", "--shards", 2, "--replicas", 0, "--db", url)
        assert done.stdout.startswith("Created" if requests < 3 else "Already exists: "), done
        assert qrank("index", folder, "--no-embed", "--db", url).returncode == 0
        assert names(qrank("search", "coffee", "--json", "--mode", "bm25", "--db", url)) == [
            "coffee.txt"
        ]
    finally:
        engine.delete_index(url)


def test_init_says_what_an_index_is_like_already(
    qrank: Callable[..., Run], url: str, tmp_path: Path
) -> None:
    for words in ([], ["--shards", 1], ["--replicas", 0], ["--shards", 1, "--replicas", 0]):
        done = qrank("init", *words, "--db", url)
        assert (done.returncode, done.stdout) == (0, f"Already exists: {url}\n"), done.stderr
    said = complaint(qrank("init", "--shards", 6, "--db", url))
    assert f"{url} has 1 shard, not 6; copy it into another: qrank export" in said
    said = complaint(qrank("init", "--replicas", 2, "--db", url))
    assert f"{url} has 0 replicas, not 2; change number_of_replicas in its settings" in said
    for words in (["--shards", 0], ["--shards", -1], ["--replicas", -1], ["--shards", "many"]):
        complaint(qrank("init", *words, "--db", f"{url}-other"))
    said = complaint(qrank("init", "--shards", 5000, "--db", f"{url}-other"))
    assert "1024" in said
    said = complaint(qrank("search", "tea", "--db", f"{url}-other"))
    assert "there is no index at" in said
    ask(f"{url}-other", "PUT", {"settings": {"number_of_replicas": 0}})
    try:
        said = complaint(qrank("init", "--db", f"{url}-other"))
        assert "is not an index of qrank, but exists; name another" in said
    finally:
        engine.delete_index(f"{url}-other")
