"""The store, through its interface: writing, reading, and the order of results.

Every test runs on each of STORES, which open the store in a folder: another engine is a line there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import engine
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi

from qrank.analysis.terms import new_chunk
from qrank.errors import Problem
from qrank.results import Chunk, Signature
from qrank.store import Layout, create_store, open_store
from qrank.store.filters import EVERYTHING, Filter, Phrase
from qrank.store.interface import NewDocument, SkippedFile, Store, StoredModel
from qrank.urls import index_place

DIMS = 32


Open = Callable[[Path], Store]


def in_engine(folder: Path) -> Store:
    place = index_place(engine.index_for(folder))
    create_store(place, Layout(shards=2, replicas=0))
    return open_store(place, write=True)


STORES: dict[str, Open] = {
    "sqlite": lambda folder: open_store(folder / "index.db", write=True),
    "opensearch": in_engine,
}


@pytest.fixture(params=STORES.values(), ids=STORES)
def opener(request: pytest.FixtureRequest) -> Open:
    made: Open = request.param
    return made


@pytest.fixture
def store(tmp_path: Path, opener: Open) -> Iterator[Store]:
    with closing(opener(tmp_path)) as opened:
        yield opened
    if not isinstance(opened.path, Path):
        engine.delete_index(str(opened.path))


def add(
    store: Store,
    path: str,
    texts: Sequence[str],
    collection: str = "notes",
    title: str = "",
    language: str = "english",
) -> None:
    chunks = [
        new_chunk(Chunk(text, "", i, i + 1, i + 1, i + 1), text, title, text.encode())
        for i, text in enumerate(texts)
    ]
    with store.transaction():
        store.add_document(
            NewDocument(
                collection=collection,
                path=path,
                signature=Signature(1, 2),
                content_hash=b"h",
                title=title,
                extractor="1",
                chunks=chunks,
                language=language,
            )
        )


def add_vectors(store: Store, seed: int = 0) -> tuple[int, np.ndarray]:
    """A model with a random unit vector for each unique text that has none."""
    with store.transaction():
        made = store.add_model(StoredModel(0, "m", str(seed), DIMS, 1))
        missing = [*store.missing_vectors(made.id)]
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
    [gone] = [file.id for file in store.files("notes") if file.path == "/a"]
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
    chunks = store.chunks_of_texts(
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
    with tempfile.TemporaryDirectory() as folder, closing(STORES["sqlite"](Path(folder))) as store:
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
        got = [order[store.texts_to_embed([text_id])[0].text] for text_id, _ in near]
        assert [cosine for _, cosine in near] == pytest.approx(exact[got], abs=4e-3)
        assert exact[got] == pytest.approx(np.sort(exact)[:-11:-1], abs=4e-3)


def test_files_are_listed_page_by_page_or_found_by_their_paths(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("locations.PAGE", "lookup.texts.PAGE", "opensearch.documents.PAGE"):
        monkeypatch.setattr(f"qrank.store.{place}", 3)
    monkeypatch.setattr("qrank.store.opensearch.documents.MOST", 3)
    paths = [f"/{i}" for i in range(10)]
    with store.transaction():
        for path in paths:
            problem = Problem("skipped", f"of {path}")
            store.add_skipped("notes", SkippedFile(f"{path}.bin", Signature(1, 2), "1", problem))
    for path in paths:
        add(store, path, [f"text of {path}", "shared"])
    add(store, "/other", ["another"], collection="other")
    assert {file.path for file in store.files("notes")} == {*paths}
    assert [file.path for file in store.files("other")] == ["/other"]
    some = [*paths[:7], "/nowhere", "/other"]
    assert {file.path for file in store.files("notes", some)} == {*paths[:7]}
    assert [*store.files("notes", [])] == []
    assert {file.problem.reason for file in store.skipped_files("notes")} == {
        f"of {path}" for path in paths
    }
    named = store.skipped_files("notes", [f"{path}.bin" for path in some])
    assert {file.path for file in named} == {f"{path}.bin" for path in paths[:7]}

    with store.transaction():
        model = store.add_model(StoredModel(0, "m", "1", DIMS, 1)).id
    missing = [*dict.fromkeys(store.missing_vectors(model))]
    assert len(missing) == 12
    with store.transaction():
        store.add_vectors(model, missing[:5], np.eye(5, DIMS, dtype=np.float32))
    assert {*store.missing_vectors(model)} == {*missing[5:]}
    assert {*store.without_vector(model, missing[3:9])} == {*missing[5:9]}
    removed = [file.id for file in store.files("notes", paths[:4])]
    for page in (removed[:2], removed[2:]):
        with store.transaction():
            store.remove_documents(page)
    assert {file.path for file in store.files("notes")} == {*paths[4:]}


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
    for filter in (Filter(("small",)), Filter(paths=("*.txt",)), Filter(paths=("*/y/*",))):
        assert len(store.bm25(["tea"], 3, filter)) == 1
        near = store.nearest(model, vectors[0], 3, filter)
        assert len(near) == 1
        assert [c.path for c in store.chunks_of_texts([near[0][0]], filter).values()] == [
            "/y/only.txt"
        ]
    assert len(store.bm25(["tea"], 3, Filter(("big",)))) == 3


def test_all_ways_to_apply_a_filter_find_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few hits are checked, few chunks that pass are listed, else the best hits are tried."""
    for i in range(60):
        add(store, f"/x/{i}.md", ["tea " * (i % 7 + 1) + f"number {i}"], collection=f"c{i % 2}")
    filters = [
        Filter(paths=("*/7.md", "*/1?.md")),
        Filter(("c1",), paths=("*[13579].md",)),
        Filter(excluded=(Phrase(("number", "21")),), suffixes=(".md",)),
    ]
    expected = [store.bm25(["tea"], 9, filter) for filter in filters]
    assert [len(hits) for hits in expected] == [9, 9, 9]
    for few, listed, tried in ((0, 100, 100), (0, 0, 100), (0, 0, 10), (100, 0, 0)):
        monkeypatch.setattr("qrank.store.lexical.FEW", few)
        monkeypatch.setattr("qrank.store.conditions.MOST_RECORDS", listed)
        monkeypatch.setattr("qrank.store.conditions.MOST_TRIED", tried)
        assert [store.bm25(["tea"], 9, filter) for filter in filters] == expected


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
        store.remove_documents([file.id for file in store.files("notes", ["/a"])])
        raise KeyboardInterrupt
    assert store.count_chunks() == 1


def test_others_see_what_is_committed_while_one_writes(
    tmp_path: Path, opener: Open, store: Store
) -> None:
    add(store, "/a", ["tea"])
    with closing(opener(tmp_path)) as other, store.transaction():
        store.remove_documents([file.id for file in store.files("notes", ["/a"])])
        assert other.count_chunks() == 1
    with closing(opener(tmp_path)) as other:
        assert other.count_chunks() == 0


@pytest.mark.parametrize("dims", [32, 33, 384, 1024, 4096])
def test_vectors_of_any_dims_side_by_side(store: Store, dims: int) -> None:
    """Two models of other dims in one store; slots that became free are used again."""
    rng = np.random.default_rng(dims)
    texts = [f"passage {i}" for i in range(200)]
    for i in range(20):
        add(store, f"/{i}", texts[i * 10 : i * 10 + 10])
    vectors: dict[int, dict[int, np.ndarray]] = {}

    def embed(model: StoredModel) -> None:
        with store.transaction():
            missing = [*store.missing_vectors(model.id)]
            made = unit(rng.normal(size=(len(missing), model.dims)))
            store.add_vectors(model.id, missing, made)
            vectors.setdefault(model.id, {}).update(zip(missing, made, strict=True))

    with store.transaction():
        models = [store.add_model(StoredModel(0, f"m{n}", str(n), n, 1)) for n in (dims, 64)]
    for model in models:
        embed(model)
    with store.transaction():
        files = {file.path: file for file in store.files("notes")}
        store.remove_documents([files[f"/{i}"].id for i in (3, 4, 11, 19)])
        store.remove_orphans()
    for i in (3, 4):
        add(store, f"/{i}", [f"another {i} {j}" for j in range(10)])
    for model in models:
        embed(model)
        assert [*store.missing_vectors(model.id)] == []
        held = {p: v for p, v in vectors[model.id].items() if store.texts_to_embed([p])}
        assert len(held) == 180
        ids, matrix = list(held), np.stack(list(held.values()))
        for query in unit(rng.normal(size=(5, model.dims))):
            exact = matrix @ query
            near = store.nearest(model.id, query, 20, EVERYTHING)
            assert [cosine for _, cosine in near] == pytest.approx(
                np.sort(exact)[: -20 - 1 : -1], abs=4e-3
            )
            assert len({text_id for text_id, _ in near}) == 20
            assert store.cosines(model.id, query, ids) == pytest.approx(
                dict(zip(ids, exact.tolist(), strict=True)), abs=4e-3
            )
    assert all(check.status == "ok" for check in store.check())
    store.vacuum()
    assert all(check.status == "ok" for check in store.check())
    assert store.nearest(model.id, query, 20, EVERYTHING) == near


def test_phrases_filters_and_dates_hold_in_both_kinds_of_candidates(store: Store) -> None:
    add(store, "/a.md", ["red tea pot", "tea pot red"], title="kitchen")
    add(store, "/b.TXT", ["red pot of tea"], title="garden")
    model, vectors = add_vectors(store)
    for filter, texts in (
        (Filter(required=(Phrase(("tea", "pot")),)), {"red tea pot", "tea pot red"}),
        (Filter(excluded=(Phrase(("pot", "red")),)), {"red tea pot", "red pot of tea"}),
        (Filter(required=(Phrase(("garden",), title=True),)), {"red pot of tea"}),
        (
            Filter(required=(Phrase(("po",), open_end=True),), suffixes=(".txt",)),
            {"red pot of tea"},
        ),
        (Filter(since_ns=3), set()),
        (Filter(since_ns=2, until_ns=3), {"red tea pot", "tea pot red", "red pot of tea"}),
        (Filter(required=(Phrase(("nothing",)),)), set()),
    ):
        assert set(found_texts(store, store.bm25(["red"], 9, filter))) == texts
        near = store.nearest(model, vectors[0], 9, filter)
        found = store.chunks_of_texts((text_id for text_id, _ in near), filter)
        assert {chunk.chunk.text for chunk in found.values()} == texts


def test_a_document_comes_out_as_it_went_in(store: Store) -> None:
    add(store, "/b", ["tea for two", "naïve 红茶 \x00 text"], title="a title")
    add(store, "/a", [], collection="other")
    [b, a] = [(d, list(d.chunks)) for d in store.documents(EVERYTHING)]
    assert (b[0].path, b[0].title, a[0].path, a[1]) == ("/b", "a title", "/a", [])
    assert [new.chunk.text for new in b[1]] == ["tea for two", "naïve 红茶 \x00 text"]
    assert [new.body_terms for new in b[1]] == ["tea for two", "naïve 红茶 \x00 text"]
    assert b[1][0].title_terms == "a title"
    assert [*store.text_ids([b[1][0].unique_hash, b"unknown"])] == [b[1][0].unique_hash]


@pytest.mark.parametrize("opener", [STORES["sqlite"]], ids=["sqlite"])
def test_threads_find_what_one_does(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a million unique texts several threads share the work; here they are made to."""
    monkeypatch.setattr("qrank.store.segments.MOST_SLOTS", 64)
    for i in range(40):
        add(
            store, f"/{i % 3}/{i}", [f"tea number{i} word{j} {'tea ' * (j % 4)}" for j in range(20)]
        )
    model, vectors = add_vectors(store)
    filters = (EVERYTHING, Filter(paths=("/1/*",)), Filter(excluded=(Phrase(("word3",)),)))

    def found() -> list[object]:
        return [
            (store.bm25(["tea", "word2"], 50, filter), store.nearest(model, vectors[7], 50, filter))
            for filter in filters
        ]

    monkeypatch.setattr("qrank.store.parallel.MOST_THREADS", 1)
    one = found()
    monkeypatch.setattr("qrank.store.parallel.MOST_THREADS", 3)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(3), raising=False)
    monkeypatch.setattr("qrank.store.lexical.CHUNKS_A_THREAD", 50)
    monkeypatch.setattr("qrank.store.vectors.SEGMENTS_A_THREAD", 2)
    assert found() == one
    with store.transaction():
        assert found() == one


def test_files_are_listed_by_location_once(store: Store) -> None:
    for path, collection in (("/n/b.md", "notes"), ("/n/a.md", "notes"), ("/n/b.md", "other")):
        add(store, path, ["tea"], collection)
    add(store, "/m/c.txt", ["tea"])
    assert [*store.locations(EVERYTHING)] == ["/m/c.txt", "/n/a.md", "/n/b.md"]
    assert [*store.locations(Filter(suffixes=(".md",)))] == ["/n/a.md", "/n/b.md"]
    listed = [(file.path, file.collection) for file in store.indexed_files("/n")]
    assert listed == [("/n/a.md", "notes"), ("/n/b.md", "notes"), ("/n/b.md", "other")]
