"""Batches that several contexts of one model compute at the same time: the results are equal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from qrank.errors import ModelError
from qrank.llama import context_pool
from qrank.llama.embedder import LlamaEmbedder
from qrank.llama.gguf import read_header
from qrank.llama.reranker import LlamaReranker
from qrank.models.registry import Registry, Role
from qrank.settings import Placement

PARITY = Path(__file__).parent / "parity"
TEXTS = [
    f"{i} boats wait for the tide, {i * 7} carts for the road. " * (1 + i % 9) for i in range(60)
]


def bundled(role: Role) -> Path:
    path = Registry().resolve(role, "tiny").path
    assert path
    return path


@pytest.mark.parametrize("name", ["tiny", "bert-embed", "embed"])
def test_vectors_are_the_same_to_the_bit_with_any_number_of_threads(name: str) -> None:
    path = bundled(Role.embedder) if name == "tiny" else PARITY / f"{name}.gguf"
    groups = [TEXTS[:20], [], TEXTS[20:21], TEXTS[21:], []]
    results = []
    for threads in (1, 2, 5):
        with closing(LlamaEmbedder(read_header(path), Placement(threads=threads))) as embedder:
            assert context_pool.contexts_for(embedder._model) == threads
            streamed = [group.vectors for group in embedder.stream(groups)]
            assert [len(vectors) for vectors in streamed] == [len(group) for group in groups]
            results.append(np.concatenate(streamed))
            by_group = [embedder.documents(group).vectors for group in groups]
            assert np.array_equal(np.concatenate(by_group), results[-1])
    assert all(np.array_equal(results[0], vectors) for vectors in results)


def test_a_large_model_has_one_context_with_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    header = read_header(bundled(Role.embedder))
    assert header.weights_per_token == 4 * (4 * 256 * 256 + 3 * 256 * 512 + 2 * 256 + 2 * 64)
    monkeypatch.setattr(context_pool, "SMALL", header.weights_per_token - 1)
    with closing(LlamaEmbedder(header, Placement(threads=2))) as embedder:
        assert context_pool.contexts_for(embedder._model) == 1
        large = embedder.documents(TEXTS).vectors
    monkeypatch.undo()
    with closing(LlamaEmbedder(header, Placement(threads=2))) as embedder:
        small = embedder.documents(TEXTS).vectors
    assert (large * small).sum(axis=1).min() >= 0.9999


@pytest.mark.parametrize("path", [bundled(Role.reranker), PARITY / "bert-rank.gguf"])
def test_two_rerankings_with_one_model_at_the_same_time(path: Path) -> None:
    with closing(LlamaReranker(read_header(path), Placement(threads=2))) as reranker:

        def scores(query: str) -> Iterator[float]:
            for batch in reranker.scores(query, TEXTS):
                yield from batch

        alone = [list(scores(query)) for query in ("the tide", "carts on a road")]
        together = zip(scores("the tide"), scores("carts on a road"), strict=True)
        for actual, expected in zip(zip(*together, strict=True), alone, strict=True):
            assert actual == pytest.approx(expected, abs=1e-4)


def test_closing_a_model_in_use_raises_an_error() -> None:
    embedder = LlamaEmbedder(read_header(bundled(Role.embedder)), Placement(threads=2))
    stream = embedder.stream([TEXTS] * 50)
    assert len(next(stream).vectors) == len(TEXTS)
    embedder.close()
    with pytest.raises(ModelError, match="was closed"):
        list(stream)
    with pytest.raises(ModelError, match="was closed"):
        embedder.queries(["tide"])


def test_a_single_query_allocates_a_small_kv_cache_which_grows() -> None:
    header = read_header(bundled(Role.embedder))
    with closing(LlamaEmbedder(header, Placement(threads=1))) as embedder:
        expected = embedder.documents(TEXTS).vectors
        full = embedder._contexts._contexts[0]._cells
    with closing(LlamaEmbedder(header, Placement(threads=1))) as embedder:
        [context] = embedder._contexts._contexts
        query = embedder.queries(["when does the tide come in"]).vectors
        assert context._cells <= full // 4
        long = embedder.documents(["the tide comes in " * 200]).vectors
        assert np.array_equal(embedder.documents(TEXTS).vectors, expected)
        assert context._cells >= full
        assert np.array_equal(embedder.queries(["when does the tide come in"]).vectors, query)
        assert np.array_equal(embedder.documents(["the tide comes in " * 200]).vectors, long)
