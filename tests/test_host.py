"""One model and several who ask it: turns, batches that are shared, and who has gone."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import PARITY, wait_until

import qrank
from qrank.inference.loading import load_embedder, load_reranker
from qrank.models.registry import Registry, Role
from qrank.serve import wire
from qrank.serve.turns import Turns
from qrank.settings import ANYWHERE

if os.name == "nt":
    pytest.skip("it does not run on Windows", allow_module_level=True)

from qrank.serve.host import Host


class Counting:
    """A model, and how often each of its methods was called with how many texts."""

    def __init__(self, model: Any) -> None:
        self.model, self.calls = model, []  # type: ignore[var-annotated]

    def queries(self, texts: list[str], *more: Any) -> Any:
        self.calls.append(len(texts))
        return self.model.queries(texts, *more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


@contextmanager
def asked(host: Host, message: dict[str, Any]) -> Iterator[socket.socket]:
    """A connection on which a question was asked, and that is answered in a thread."""
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


def query(text: str) -> dict[str, Any]:
    return {"texts": [text], "is_query": True, "instruction": None, "dims": None}


def test_queries_of_searches_that_wait_are_computed_together() -> None:
    small = str(PARITY / "embed.gguf")
    model = Counting(load_embedder(Registry().resolve(Role.embedder, small), ANYWHERE))
    host = Host(model, [])
    texts = ["the tide", "a bicycle", "tea " * 5000, "the tide"]
    alone = model.model.queries(texts)
    with host._turns:  # somebody else has it
        connections = [asked(host, query(text)) for text in texts]
        opened = [connection.__enter__() for connection in connections]
        wait_until(lambda: len(host._searches) == len(host._turns._waiting) == len(texts))
    try:
        for i, connection in enumerate(opened):
            told, data = wire.receive(connection)
            vector = np.frombuffer(data, "<f4")
            assert told["shape"] == [1, len(vector)]
            assert told["truncated"] == ([0] if i in alone.truncated else [])
            assert np.allclose(vector, alone.vectors[i], atol=1e-5)
    finally:
        for connection in connections:
            connection.__exit__(None, None, None)
    assert model.calls == [len(texts)]
    model.close()


def test_rerankings_take_turns_and_one_that_nobody_wants_ends() -> None:
    model = load_reranker(Registry().resolve(Role.reranker, "tiny"), ANYWHERE)
    host = Host(model, [])
    texts = [f"the tide comes in {i} " * 40 for i in range(20)]
    alone = [score for batch in model.scores("tide", texts, None) for score in batch]
    message = {"query": "tide", "texts": texts, "instruction": None}
    with host._turns:
        both = [asked(host, message) for _ in range(2)]
        opened = [one.__enter__() for one in both]
        gone = asked(host, message | {"texts": texts * 50})
        gone.__enter__()
        wait_until(lambda: len(host._turns._waiting) == 3)
    gone.__exit__(None, None, None)  # it waits for the thread, which ends within a batch
    try:
        for connection in opened:
            scores: list[float] = []
            while "scores" in (told := wire.receive(connection)[0]):
                scores += told["scores"]
            assert told == {"end": True}
            assert np.allclose(scores, alone, atol=1e-4)
    finally:
        for one in both:
            one.__exit__(None, None, None)
    model.close()


def test_turns_go_to_who_has_waited_longest() -> None:
    turns, order = Turns(), []
    threads = []

    def run(number: int) -> Callable[[], None]:
        def take() -> None:
            with turns:
                order.append(number)

        return take

    with turns:
        assert not turns.wanted
        for number in range(5):
            threads.append(threading.Thread(target=run(number)))
            threads[-1].start()
            wait_until(lambda: len(turns._waiting) == number + 1)  # noqa: B023
        assert turns.wanted
    for thread in threads:
        thread.join()
    assert order == [*range(5)]
    assert not turns.wanted


def test_what_a_model_raises_is_raised_at_the_other_end(tmp_path: Path) -> None:
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
