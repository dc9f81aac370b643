"""The store, through its interface: what goes in comes out, in the order it should."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from qrank.errors import IndexFileError
from qrank.results import Chunk
from qrank.store import Store, schema
from qrank.store.filters import EVERYTHING, Filter
from qrank.store.interface import NewChunk, StoredModel

DIMS = 32


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "index.db", write=True) as opened:
        yield opened


def add(
    store: Store,
    path: str,
    texts: Sequence[str],
    collection: str = "notes",
    title: str = "",
    language: str = "english",
) -> None:
    chunks = [
        NewChunk(Chunk(text, "", i, i + 1, i + 1, i + 1), text, title, text.encode())
        for i, text in enumerate(texts)
    ]
    with store.transaction():
        store.add_document(
            collection=collection,
            path=path,
            size=1,
            mtime_ns=2,
            content_hash=b"h",
            title=title,
            extractor="1",
            chunks=chunks,
            language=language,
        )


def add_vectors(store: Store, seed: int = 0) -> tuple[int, np.ndarray]:
    """A model with a random unit vector for each passage that has none."""
    with store.transaction():
        made = store.add_model(StoredModel(0, "m", str(seed), DIMS, 1))
        missing = store.missing_vectors(made.id)
        vectors = unit(np.random.default_rng(seed).normal(size=(len(missing), DIMS)))
        store.add_vectors(made.id, missing, vectors)
    return made.id, vectors


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def found_texts(store: Store, hits: Sequence[tuple[int, float]]) -> list[str]:
    chunks = store.chunks(chunk for chunk, _ in hits)
    return [chunks[chunk].chunk.text for chunk, _ in hits]


def test_a_document_replaces_what_was_under_its_path(store: Store) -> None:
    add(store, "/a", ["red apple", "green pear"])
    before = store.bm25(["apple"], 9, EVERYTHING)
    add(store, "/a", ["green pear", "blue plum"])
    assert len(before) == 1
    assert store.bm25(["apple"], 9, EVERYTHING) == []
    assert found_texts(store, store.bm25(["plum"], 9, EVERYTHING)) == ["blue plum"]
    assert store.count_chunks() == 2
    assert before[0][0] not in {hit for hit, _ in store.bm25(["pear"], 9, EVERYTHING)}


def test_what_is_removed_is_found_no_more_and_leaves_nothing(store: Store) -> None:
    add(store, "/a", ["red apple", "shared"])
    add(store, "/b", ["red brick", "shared"])
    model, vectors = add_vectors(store)
    [gone] = [file.id for path, file in store.files("notes").items() if path == "/a"]
    with store.transaction():
        store.remove_documents([gone])
        store.remove_orphans()
    assert found_texts(store, store.bm25(["red"], 9, EVERYTHING)) == ["red brick"]
    near = store.nearest(model, vectors[0], 9, EVERYTHING)
    assert len(near) == 2  # "red brick", and "shared", which /b still has
    assert store.status()["models"][0]["vectors"] == 2


def test_equal_passages_share_a_vector(store: Store) -> None:
    add(store, "/a", ["same", "other"])
    add(store, "/b", ["same"])
    model, vectors = add_vectors(store)
    assert vectors.shape == (2, DIMS)
    chunks = store.chunks_of_passages(
        [store.nearest(model, vectors[0], 1, EVERYTHING)[0][0]], EVERYTHING
    )
    assert sorted(chunk.path for chunk in chunks.values()) == ["/a", "/b"]


WORDS = st.lists(
    st.sampled_from("red blue tea cup sun sea owl fig oak elm c++ 红茶".split()),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(documents=st.lists(WORDS, min_size=3, max_size=20), query=WORDS)
def test_bm25_is_rank_bm25_s(documents: list[list[str]], query: list[str]) -> None:
    """On the same tokens, with the same k1 and b, where both define idf alike (df < half)."""
    terms = [
        term
        for term in query
        if 0 < sum(term in document for document in documents) < len(documents) / 2
    ]
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "i", write=True) as store:
        for i, document in enumerate(documents):
            add(store, f"/{i:03}", [" ".join(document)])
        hits = dict(store.bm25(terms, len(documents), EVERYTHING))
        # The collection and the language are two terms more in every document's length.
        lengthened = [[*document, "(collection)", "(language)"] for document in documents]
        oracle = BM25Okapi(lengthened, k1=1.2, b=0.75).get_scores(terms)
        ids = {chunk.path: i for i, chunk in store.chunks(hits).items()}
        for i, score in enumerate(oracle):
            got = hits.get(ids.get(f"/{i:03}", -1), 0.0)
            assert got == pytest.approx(score, rel=1e-9, abs=1e-9)


def test_a_language_s_terms_only_count_in_its_documents(store: Store) -> None:
    add(store, "/en", ["polic car"])  # of "police", in English
    add(store, "/fr", ["polic voiture"], language="french")  # of "policies", if it were French
    assert store.languages() == ["english", "french"]
    hits = store.bm25(["polici"], 9, EVERYTHING, variants={"french": ["polic"]})
    assert found_texts(store, hits) == ["polic voiture"]
    hits = store.bm25(["car"], 9, Filter(("notes",)), variants={"french": ["polic"]})
    assert found_texts(store, hits) == ["polic car", "polic voiture"]
    assert dict(hits) == dict(store.bm25(["car"], 9, EVERYTHING)) | dict(hits[1:])


def test_nearest_agrees_with_an_exact_scan_across_segments(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qrank.store.segments.MOST_SLOTS", 64)
    add(store, "/a", [f"passage {i}" for i in range(300)])
    model, vectors = add_vectors(store)
    order = {f"passage {i}": i for i in range(300)}
    for query in unit(np.random.default_rng(1).normal(size=(20, DIMS))):
        exact = vectors @ query
        near = store.nearest(model, query, 10, EVERYTHING)
        got = [order[store.passage_texts([passage])[0].text] for passage, _ in near]
        assert [cosine for _, cosine in near] == pytest.approx(exact[got], abs=4e-3)
        assert exact[got] == pytest.approx(np.sort(exact)[:-11:-1], abs=4e-3)


def test_a_filter_is_applied_before_the_cut(store: Store) -> None:
    for i in range(40):
        add(store, f"/x/{i}.md", [f"tea number {i}"], collection="big")
    add(
        store,
        "/y/only.txt",
        ["tea in a pot that is much longer than the others"],
        collection="small",
    )
    model, vectors = add_vectors(store)
    for where in (Filter(("small",)), Filter.of(path="*.txt"), Filter.of(path="y/*")):
        assert len(store.bm25(["tea"], 3, where)) == 1
        near = store.nearest(model, vectors[0], 3, where)
        assert len(near) == 1
        assert [c.path for c in store.chunks_of_passages([near[0][0]], where).values()] == [
            "/y/only.txt"
        ]
    assert len(store.bm25(["tea"], 3, Filter(("big",)))) == 3


def test_a_collection_s_name_may_hold_anything(store: Store) -> None:
    name = 'x" OR body:"tea'
    add(store, "/a", ["tea"], collection=name)
    assert len(store.bm25(["tea"], 3, Filter((name,)))) == 1
    assert store.bm25(["tea"], 3, Filter(("other",))) == []


@pytest.mark.parametrize("term", ['"', 'a"b', "*", "NEAR(a b)", "a OR b", "'; DROP TABLE file; --"])
def test_a_term_is_data(store: Store, term: str) -> None:
    add(store, "/a", ["tea"])
    assert store.bm25([term], 3, EVERYTHING) == []
    assert store.count_chunks() == 1


def test_a_transaction_that_fails_leaves_nothing_behind(store: Store) -> None:
    add(store, "/a", ["tea"])
    with pytest.raises(KeyboardInterrupt), store.transaction():
        store.remove_documents([1])
        raise KeyboardInterrupt
    assert store.count_chunks() == 1


def test_a_reader_sees_what_is_committed_while_a_writer_writes(store: Store) -> None:
    add(store, "/a", ["tea"])
    with Store(store.path) as reader, store.transaction():
        store.remove_documents([1])
        assert reader.count_chunks() == 1
    with Store(store.path) as reader:
        assert reader.count_chunks() == 0


def test_the_wrong_files_are_refused_in_a_sentence(tmp_path: Path) -> None:
    text, other, newer = (tmp_path / name for name in ("text.db", "other.db", "newer.db"))
    text.write_text("no database at all, but long enough to look like one " * 20)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (a)")
    Store(newer, write=True).close()
    with sqlite3.connect(newer) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    for path, reason in (
        (text, "not an index"),
        (other, "another program"),
        (newer, "newer qrank"),
    ):
        before = path.read_bytes()
        for write in (False, True):
            with pytest.raises(IndexFileError, match=reason):
                Store(path, write=write)
        assert path.read_bytes() == before
    with pytest.raises(IndexFileError, match="there is no index"):
        Store(tmp_path / "missing.db")


def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    with Store(path, write=True) as store:
        add(store, "/a", [f"tea {i}" for i in range(500)])
    data = bytearray(path.read_bytes())
    data[16384:] = bytes(len(data) - 16384)
    path.write_bytes(data)
    with pytest.raises(IndexFileError, match="damaged"), Store(path) as store:
        store.bm25(["tea"], 3, EVERYTHING)
        store.status()
