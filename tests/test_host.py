"""A model shared by several clients: common batches, fairness, and clients that disconnect."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import PARITY, wait_until

import qrank
from qrank.inference.loading import load_embedder, load_reranker
from qrank.models.registry import Registry, Role
from qrank.serve import wire
from qrank.settings import ANYWHERE

if os.name == "nt":
    pytest.skip("it does not run on Windows", allow_module_level=True)

from qrank.serve.host import Host


@contextmanager
def requested(host: Host, message: dict[str, Any]) -> Iterator[socket.socket]:
    """A connection on which a request was sent; a thread answers it."""
    ours, theirs = socket.socketpair()

    def answer() -> None:
        with theirs:
            try:
                host.answer(theirs)
            except OSError:
                return

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        assert wire.receive(ours)[0]["notices"] == []
        wire.send(ours, message)
        yield ours
    finally:
        ours.close()
        thread.join(60)
        assert not thread.is_alive()


class PausedModel:
    """Replaces a model's `outputs`: waits for `resume`, then notes the size of each batch."""

    def __init__(self, model: Any) -> None:
        self.batches: list[int] = []
        self.resume = threading.Event()
        self._outputs, model.outputs = model.outputs, self

    def __call__(self, questions: Iterable[Any]) -> Generator[list[Any], None, None]:
        self.resume.wait(60)
        for batch in self._outputs(questions):
            self.batches.append(len(batch))
            yield batch


def vectors(texts: list[str], *, is_query: bool = False) -> dict[str, Any]:
    return {"texts": texts, "is_query": is_query, "instruction": None, "dims": None}


def rerank(query: str, texts: list[str]) -> dict[str, Any]:
    return {"query": query, "texts": texts, "instruction": None}


def scores_of(connection: socket.socket) -> tuple[list[float], int]:
    scores: list[float] = []
    tokens = 0
    while "scores" in (answer := wire.receive(connection)[0]):
        scores += answer["scores"]
        tokens += answer["tokens"]
    assert answer == {"end": True}
    return scores, tokens


def send_all(
    host: Host, paused: PausedModel, messages: list[dict[str, Any]], stack: ExitStack
) -> list[socket.socket]:
    """Send all requests before the model computes anything."""
    jobs = host._scores if "query" in messages[0] else host._vectors
    opened: list[socket.socket] = []
    for message in messages:  # one after the other: their order decides what a batch holds
        opened.append(stack.enter_context(requested(host, message)))
        wait_until(lambda: len(jobs._waiting) == len(opened))
    paused.resume.set()
    return opened


def test_texts_of_several_clients_are_embedded_together() -> None:
    """Queries and documents share batches."""
    model = load_embedder(Registry().resolve(Role.embedder, str(PARITY / "embed.gguf")), ANYWHERE)
    groups = [["the tide"], ["a bicycle", "tea"], ["the tide", "x " * 5000], ["y"]]
    alone = [
        model.queries(each) if i % 2 else model.documents(each) for i, each in enumerate(groups)
    ]
    paused = PausedModel(model)
    host = Host(model, [])
    messages = [vectors(each, is_query=i % 2 == 1) for i, each in enumerate(groups)]
    with ExitStack() as stack:
        opened = send_all(host, paused, messages, stack)
        for connection, expected in zip(opened, alone, strict=True):
            answer, data = wire.receive(connection)
            assert answer["truncated"] == expected.truncated
            assert answer["tokens"] > 0
            results = np.frombuffer(data, "<f4").reshape(answer["shape"])
            assert (results * expected.vectors).sum(axis=1).min() >= 0.9999
    assert paused.batches[0] == 4  # the texts before the one that fills a batch alone
    model.close()


@pytest.mark.parametrize("name", ["tiny", "lm.gguf", "cls.gguf", "bert-rank.gguf"])
def test_texts_of_several_clients_are_reranked_together(name: str) -> None:
    """More clients than prompt prefixes that are kept at once; queries of different lengths."""
    file = PARITY / name
    choice = Registry().resolve(Role.reranker, str(file) if file.suffix else name)
    model = load_reranker(choice, ANYWHERE)
    queries = [f"tide {i} " * (1 + i * i) for i in range(12)]
    texts = [[f"the tide {i} comes in " * (1 + i % 7) for i in range(3 + n)] for n in range(12)]
    pairs = list(zip(queries, texts, strict=True))
    alone = [[s for batch in model.scores(*pair) for s in batch] for pair in pairs]
    paused = PausedModel(model)
    host = Host(model, [])
    before = model.decoded
    with ExitStack() as stack:
        opened = send_all(host, paused, [rerank(*pair) for pair in pairs], stack)
        results = [scores_of(connection) for connection in opened]
    for (scores, _), expected in zip(results, alone, strict=True):
        assert np.allclose(scores, expected, atol=2e-3)
    assert sum(tokens for _, tokens in results) == model.decoded - before
    assert len(paused.batches) < sum(map(len, texts)) / 2
    model.close()


def test_a_small_request_is_not_delayed_by_a_large_one_and_abandoned_requests_end() -> None:
    model = load_reranker(Registry().resolve(Role.reranker, "tiny"), ANYWHERE)
    many = [f"the tide comes in {i} " * 40 for i in range(5000)]
    alone = [score for batch in model.scores("tide", many[:20]) for score in batch]
    paused = PausedModel(model)
    host = Host(model, [])
    with ExitStack() as stack:
        gone = requested(host, rerank("tide", many))
        gone.__enter__()
        wait_until(lambda: len(host._scores._waiting) == 1)
        small = stack.enter_context(requested(host, rerank("tide", many[:20])))
        wait_until(lambda: len(host._scores._waiting) == 2)
        paused.resume.set()
        scores, _ = scores_of(small)
        assert np.allclose(scores, alone, atol=1e-4)
        assert sum(paused.batches) < 200  # of 5,000
        gone.__exit__(None, None, None)  # it waits for the thread, which ends within a batch
    wait_until(lambda: not host._scores._waiting)
    assert sum(paused.batches) < 1000
    model.close()


def test_little_is_computed_for_a_client_that_does_not_read_and_the_rest_when_it_does() -> None:
    """A client that was stopped with Ctrl-Z, for example."""
    model = load_reranker(Registry().resolve(Role.reranker, "tiny"), ANYWHERE)
    many = [f"the tide comes in {i}" for i in range(3000)]
    paused = PausedModel(model)
    host = Host(model, [])
    with ExitStack() as stack:
        stopped = stack.enter_context(requested(host, rerank("tide", many)))
        wait_until(lambda: len(host._scores._waiting) == 1)
        paused.resume.set()
        wait_until(lambda: not host._scores._waiting)
        other = stack.enter_context(requested(host, rerank("tide", many[:50])))
        assert len(scores_of(other)[0]) == 50
        assert sum(paused.batches) < len(many) / 2  # about 800: what queue and socket hold
        assert len(scores_of(stopped)[0]) == len(many)
    model.close()


def test_an_error_of_the_model_is_reported_and_the_next_request_is_answered() -> None:
    model = load_embedder(Registry().resolve(Role.embedder, "tiny"), ANYWHERE)
    outputs, broken = model.outputs, threading.Event()

    def fails(questions: Iterable[Any]) -> Generator[list[Any], None, None]:
        for batch in outputs(questions):
            if not broken.is_set():
                broken.set()
                raise qrank.ModelError("llama.cpp failed")
            yield batch

    model.outputs = fails
    host = Host(model, [])
    with requested(host, vectors(["tea " * 100] * 40)) as connection:
        assert wire.receive(connection)[0]["error"]["said"] == "llama.cpp failed"
        wire.send(connection, vectors(["tea"]))
        assert wire.receive(connection)[0]["shape"] == [1, model.dims]
        wire.send(connection, vectors([]))
        assert wire.receive(connection)[0]["shape"] == [0, model.dims]
        wire.send(connection, vectors(["tea"]) | {"dims": 10**6})
        assert wire.receive(connection)[0]["error"]["kind"] == "InputError"
    model.close()


def test_errors_of_a_model_are_raised_in_the_client(tmp_path: Path) -> None:
    from qrank.serve.host import described, raised

    for error in (
        qrank.ModelError("it is broken", hint="mend it"),
        qrank.InputError("no"),
        MemoryError("2 GB"),
        KeyError("x"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "odd"),
    ):
        again = raised(described(error))
        assert str(again) in (str(error), repr(str(error)))
        if not isinstance(error, UnicodeDecodeError):
            assert type(again) is type(error)
    assert raised(described(qrank.ModelError("a", hint="b"))).what == "a"  # type: ignore[attr-defined]
