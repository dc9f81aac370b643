"""A model that several threads use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, Protocol, TypeVar


class Model(Protocol):
    """What embedders and rerankers have in common."""

    @property
    def decoded(self) -> int:
        """How many tokens were computed on this machine."""

    def close(self) -> None:
        """Free what it holds."""


M = TypeVar("M", bound=Model)


class Shared(Generic[M]):
    """A model that is loaded when it is first used, and closed when it was given up and no thread
    uses it any more. Who still comes after that loads it again, for as long as it takes."""

    def __init__(self, load: Callable[[], M]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._model: M | None = None
        self._users = 0
        self._given_up = False

    @contextmanager
    def use(self) -> Iterator[M]:
        """The model, which stays open inside."""
        with self._lock:
            if self._model is None:
                self._model = self._load()
            model = self._model
            self._users += 1
        try:
            yield model
        finally:
            with self._lock:
                self._users -= 1
                self._close_unused()

    def begin(self) -> None:
        """Load the model in a thread of its own, unless it is loaded; who uses it meanwhile waits
        for that. An error is raised to who uses it, since the model is loaded once more then."""
        if self._model is None and not self._lock.locked():
            threading.Thread(target=self._load_ahead, name="qrank-load").start()

    def _load_ahead(self) -> None:
        with self._lock:
            if self._model is None and not self._given_up:
                with suppress(Exception):
                    self._model = self._load()

    def give_up(self) -> None:
        """Close the model as soon as no thread uses it."""
        with self._lock:
            self._given_up = True
            self._close_unused()

    def _close_unused(self) -> None:
        if self._given_up and not self._users and self._model:
            self._model.close()
            self._model = None

    @property
    def decoded(self) -> int:
        """How many tokens the model has computed since it was loaded."""
        model = self._model
        return model.decoded if model else 0
