"""The Python API: its public names, arguments and results."""

from __future__ import annotations

import builtins
import inspect
import re
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import PARITY

import qrank

# Of Index.answer, which the evaluation alone uses; of what load_settings returns.
INNER = {"Query", "ModelTables"}


def test_the_exported_names_are_these_and_all_are_there() -> None:
    assert sorted(qrank.__all__) == qrank.__all__
    for name in qrank.__all__:
        assert getattr(qrank, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = qrank.nonsense  # type: ignore[attr-defined]


def annotated(of: object) -> set[str]:
    """The names in the annotations of a function, or of a class's public methods and fields."""
    functions = [of]
    if inspect.isclass(of):
        functions = [
            of,
            *(f for n, f in vars(of).items() if not n.startswith("_") or n == "__init__"),
        ]
    notes: list[str] = []
    for function in functions:
        function = getattr(function, "fget", None) or function
        notes += map(str, getattr(function, "__annotations__", {}).values())
    return set(re.findall(r"(?<![\w.])[A-Z]\w+", " ".join(notes)))


def test_every_name_of_a_public_signature_is_exported() -> None:
    known = {*qrank.__all__, *dir(builtins), *vars(typing), "Path", "NDArray"}
    for name in qrank.__all__:
        public = getattr(qrank, name)
        if callable(public):
            assert annotated(public) - known - INNER == set(), name


def test_one_path_or_name_is_a_list_of_one(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "tea.md").write_text("Steep green tea for two minutes.\n", "utf-8")
    (folder / "tea.txt").write_text("Steep black tea for four minutes.\n", "utf-8")
    with qrank.Index(str(tmp_path / "i.db")) as index:
        assert index.add(str(folder), embed=False, collection="drinks").added == 2
        assert len(list(qrank.plan(folder))) == 2
        found = index.search("tea", mode="bm25", collections="drinks", types="md")
        assert [result.path for result in found.results] == [str(folder / "tea.md")]
        assert index.count(collections="drinks", types="txt") == 1
        assert index.search("tea", mode="bm25", collections="d").results == []
        assert len([line for line in index.export(collections="drinks") if "path" in line]) == 2
        assert index.remove(str(folder / "tea.md")) == 1
        assert index.remove(collections="drinks") == 1
    assert qrank.embed("one text").shape[0] == 1
    assert len(qrank.rerank("tea", "green tea")) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": -1},
        {"limit": 0},
        {"limit": 2.5},
        {"candidates": -5},
        {"budget": -1},
        {"budget": float("nan")},
        {"per_file": 0},
        {"min_score": float("nan")},
        {"mode": "semantic"},
        {"stale": "maybe"},
    ],
)
def test_a_number_that_makes_no_sense_is_a_value_error(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    (tmp_path / "tea.md").write_text("Steep green tea.\n", "utf-8")
    with qrank.Index(tmp_path / "i.db") as index:
        index.add(tmp_path / "tea.md", embed=False)
        with pytest.raises(ValueError, match=next(iter(wrong))) as caught:
            index.search("tea", **{"mode": "bm25"} | wrong)
        assert "islice" not in str(caught.value)
        with pytest.raises(ValueError, match="limit"):
            index.search(["tea", "green"], mode="bm25", limit=-1)
        with pytest.raises(ValueError, match="limit"):
            index.similar(str(tmp_path / "tea.md"), limit=-1)
    with pytest.raises(ValueError, match="dims"):
        qrank.embed("x", dims=0)
    with pytest.raises(ValueError, match="candidates"):
        qrank.rerank("x", ["y"], candidates=0)


WRONG = [None, 5, 1.5, True, b"x", ["a", 5], object(), "nonsense", -1, float("nan"), "2024-01-01"]


def calls(index: qrank.Index) -> Iterator[tuple[Callable[[Any], object], str]]:
    """Every argument of the API: what is called with a value for it, and its name."""
    options = "mode limit rerank candidates budget collections path min_score per_file types since"
    for name in f"{options} until stale progress where offset sort unfinished".split():
        yield lambda value, n=name: index.search("tea", **({"mode": "bm25"} | {n: value})), name
    for name in "mode limit collections path min_score per_file stale".split():
        yield lambda value, n=name: index.similar("a.md", **{n: value}), name
    for name in "collections path types since until".split():
        yield lambda value, n=name: index.count(**{n: value}), name
    for name in "collection embed progress walking reading".split():
        yield lambda value, n=name: index.add("none", **{n: value}), name
    for name in "embed_model rerank_model placement settings".split():
        yield lambda value, n=name: qrank.Index("none", **{n: value}).close(), name
    for name in "model instruction candidates budget progress placement settings".split():
        yield lambda value, n=name: qrank.rerank("x", ["y"], **{n: value}), name
    for name in "model query instruction dims placement settings".split():
        yield lambda value, n=name: qrank.embed("x", **{n: value}), name
    for kind, names in (
        (qrank.Placement, "threads gpu_layers device"),
        (qrank.Walking, "ignore hidden globs types max_filesize"),
        (qrank.Reading, "fields pre pre_globs timeout"),
    ):
        for name in names.split():
            yield lambda value, k=kind, n=name: k(**{n: value}), name
    yield lambda value: index.search(value, mode="bm25"), "query"
    yield index.similar, "place"
    yield index.get, "id"
    yield index.add, "paths"
    yield index.remove, "paths"
    yield lambda value: index.remove("none", collections=value), "collections"
    yield index.import_lines, "lines"
    yield lambda value: index.export(vectors=value), "vectors"
    yield index.examine, "progress"
    yield index.far_off, "answer"
    yield index.bm25_terms, "answer"
    yield index.path_status, "path"
    yield lambda value: index.path_status("none", walking=value), "walking"
    yield qrank.Index, "path"
    yield lambda value: qrank.rerank(value, ["y"]), "query"
    yield lambda value: qrank.rerank("x", value), "texts"
    yield qrank.embed, "texts"
    yield lambda value: list(qrank.plan(value)), "paths"
    yield lambda value: list(qrank.plan("none", walking=value)), "walking"
    yield lambda value: list(qrank.plan("none", reading=value)), "reading"
    yield lambda value: qrank.pack(value, [], 5), "query"
    yield lambda value: qrank.pack("x", value, 5), "results"
    yield lambda value: qrank.pack("x", [], value), "max_tokens"
    yield qrank.load_settings, "folder"


def test_an_argument_that_can_t_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Steep green tea.\n", "utf-8")
    refused, errors = set(), []
    with qrank.Index(tmp_path / "i.db", embed_model="tiny", rerank_model="tiny") as index:
        index.add(tmp_path / "a.md", embed=False)
        for call, name in calls(index):
            for value in WRONG:
                try:
                    call(value)
                except (TypeError, ValueError) as error:
                    refused.add(name)
                    errors.append((name, str(error)))
                except qrank.QrankError:
                    refused.add(name)  # a model that there is not, say
        for name, error in errors:
            assert re.search(rf"\b{name}\b", error), (name, error)
        assert refused >= {name for _, name in calls(index)} - {"lines"}


def test_a_library_call_reads_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    home = Path(environment["HOME"])
    monkeypatch.setenv("HOME", str(home))
    for name in ("QRANK_DB", "QRANK_EMBED_MODEL", "QRANK_RERANK_MODEL", "QRANK_COLLECTION"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("QRANK_THREADS", "many")
    config = home / ".config" / "qrank" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("this is no TOML")
    (tmp_path / ".qrank").mkdir()
    (tmp_path / ".qrank" / "index.db").write_text("")
    (tmp_path / ".qrank" / "config.toml").write_text("nor is this")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tea.md").write_text("Steep green tea.\n", "utf-8")
    with qrank.Index(tmp_path / "i.db") as index:
        assert index.add("tea.md").added == 1
        assert index.status()["collections"][0]["name"] == "default"
        assert index.search("tea").results
    assert qrank.embed("tea").shape[0] == 1
    assert qrank.Index().path.is_relative_to(home)
    with pytest.raises(qrank.InputError, match="is not valid TOML"):
        qrank.load_settings()
    config.write_text('collection = "drinks"\n')
    (tmp_path / ".qrank" / "config.toml").unlink()
    monkeypatch.delenv("QRANK_THREADS")
    for name in ("QRANK_DB", "QRANK_EMBED_MODEL", "QRANK_RERANK_MODEL", "QRANK_COLLECTION"):
        monkeypatch.delenv(name)
    with qrank.Index(tmp_path / "j.db", settings=qrank.load_settings()) as index:
        index.add("tea.md", embed=False)
        assert index.status()["collections"][0]["name"] == "drinks"


def test_index_search_and_search_again(tmp_path: Path) -> None:
    (tmp_path / "tea.md").write_text("# Tea\n\nSteep green tea for two minutes.\n", "utf-8")
    with qrank.Index(tmp_path / "i.db") as index:
        assert index.add([tmp_path]).added == 1
        first = index.search("steeping tea")
        assert first.results[0].path == str(tmp_path / "tea.md")
        assert (
            index.search("steeping tea", mode="bm25", rerank=False).results[0].score_kind == "bm25"
        )
        (tmp_path / "sea.md").write_text("The tide turns twice a day.\n", "utf-8")
        index.add([tmp_path])
        assert index.search("tide", limit=1).results[0].path == str(tmp_path / "sea.md")
        assert index.status()["files"] == 2


def test_rerank_and_embed_without_an_index() -> None:
    ranked = qrank.rerank("green tea", ["the tide", "green tea leaves", "an owl"])
    assert sorted(item.index for item in ranked) == [0, 1, 2]
    assert ranked[0].index == 1
    vectors = qrank.embed(["one", "two"])
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert qrank.embed(["one"], query=True)[0] != pytest.approx(vectors[0], abs=1e-3)


def test_embedding_says_which_texts_were_truncated() -> None:
    texts = ["tea", "a cup of tea " * 5000, "an owl"]
    with qrank.Embedding("tiny") as embedding:
        made = embedding.embed(texts)
        assert list(made.truncated) == [1]
        assert np.array_equal(made.vectors, embedding(texts))
        assert list(embedding.embed(["tea"]).truncated) == []


def test_a_reranker_kept_loaded_scores_as_one_loaded_for_each_query() -> None:
    texts = ["the tide turns", "green tea leaves", "an owl at night"]
    reranking = qrank.Reranking("tiny")
    assert reranking.takes_instruction
    for query in ("green tea", "when does an owl hunt"):
        assert reranking(query, texts) == qrank.rerank(query, texts, model="tiny")
    told = reranking("owl", texts, instruction="Find birds", candidates=1)
    assert told == qrank.rerank("owl", texts, model="tiny", instruction="Find birds", candidates=1)
    assert [item.index for item in told if item.score is not None] == [2]
    with pytest.raises(qrank.QrankError, match="query is empty"):
        reranking(" ", texts)
    assert reranking("tea", []) == []
    reranking.close()


def test_what_takes_an_instruction_is_seen_from_the_file() -> None:
    for made, file, takes in (
        (qrank.Embedding, "embed.gguf", True),
        (qrank.Embedding, "bert-embed.gguf", False),
        (qrank.Reranking, "lm.gguf", True),
        (qrank.Reranking, "cls.gguf", True),
        (qrank.Reranking, "bert-rank.gguf", False),
    ):
        model = made(str(PARITY / file))
        assert model.takes_instruction is takes, file
        model.close()


def test_errors_are_qrank_s() -> None:
    with pytest.raises(qrank.QrankError, match="no index"), qrank.Index("/nowhere/i.db") as index:
        index.search("x")
    with pytest.raises(qrank.QrankError, match="unknown reranker"):
        qrank.rerank("x", ["y"], model="guess")
