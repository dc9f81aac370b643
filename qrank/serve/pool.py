"""A pool of open indexes and loaded models, for a process that answers many requests."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from qrank.api import Index
from qrank.closing import Closing
from qrank.settings import NO_SETTINGS, Settings
from qrank.standalone import Embedding, Reranking
from qrank.urls import IndexPlace

IDLE = 600.0  # seconds after which an unused object is closed

T = TypeVar("T", bound=Closing)


@dataclass
class _Entry:
    """An object of the pool; value is None until it is opened. Without users it is closed when it
    is stale or was idle for too long."""

    opening: threading.Lock = field(default_factory=threading.Lock)
    value: Closing | None = None
    users: int = 0
    used: float = field(default_factory=time.monotonic)
    stale: bool = False


class Pool(Closing):
    """A pool of indexes and models: each `with` gets the one that is already open, or opens it.
    Objects that were not used for `idle` seconds are closed; 0: never. Thread-safe.

    >>> with Pool() as pool, pool.index("notes.db") as index:
    ...     index.path.name
    'notes.db'
    """

    def __init__(self, settings: Settings = NO_SETTINGS, *, idle: float = IDLE) -> None:
        self._settings, self._idle = settings, idle
        self._lock = threading.Lock()
        self._entries: dict[tuple[Any, ...], _Entry] = {}
        self._closed = threading.Event()
        self._sweeper: threading.Thread | None = None

    @contextmanager
    def index(
        self,
        path: str | IndexPlace | None = None,
        *,
        embed_model: str | None = None,
        rerank_model: str | None = None,
    ) -> Iterator[Index]:
        """The index at path, by default that of the settings. If the file was replaced, it is
        opened again; if it was removed, using the index raises IndexFileError, as qrank.Index
        does."""
        location = self._settings.index_path(Path(path) if isinstance(path, str) else path)
        real, file = str(location), (0, 0)
        if isinstance(location, Path):
            real = os.path.realpath(location)
            with suppress(OSError):
                status = location.stat()
                file = (status.st_dev, status.st_ino)
        place = ("index", real, embed_model, rerank_model)

        def make() -> Index:
            return Index(
                location,
                embed_model=embed_model,
                rerank_model=rerank_model,
                settings=self._settings,
            )

        with self._lend((*place, file), make, replaces=place) as index:
            yield index

    @contextmanager
    def embedding(self, model: str | None = None) -> Iterator[Embedding]:
        """An embedding model, named as on the command line. Raises ModelError."""
        with self._lend(
            ("embedding", model), lambda: Embedding(model, settings=self._settings)
        ) as embedding:
            yield embedding

    @contextmanager
    def reranking(self, model: str | None = None) -> Iterator[Reranking]:
        """A reranking model, named as on the command line. Raises ModelError."""
        with self._lend(
            ("reranking", model), lambda: Reranking(model, settings=self._settings)
        ) as reranking:
            yield reranking

    def indexes(self) -> list[str]:
        """The index files that are open."""
        with self._lock:
            return sorted({key[1] for key in self._entries if key[0] == "index"})

    def close(self) -> None:
        """Close everything; objects in use as soon as they are not used any more."""
        self._closed.set()
        with self._lock:
            for entry in self._entries.values():
                entry.stale = True
            self._close_unused()

    @contextmanager
    def _lend(
        self, key: tuple[Any, ...], make: Callable[[], T], replaces: tuple[Any, ...] = ()
    ) -> Iterator[T]:
        """The object with a key, made if there is none. A new object makes those whose keys begin
        with `replaces` stale."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                for other, outdated in self._entries.items():
                    outdated.stale |= bool(replaces) and other[: len(replaces)] == replaces
                self._close_unused()
                entry = self._entries[key] = _Entry()
                self._start_sweeping()
            entry.users += 1
        try:
            with entry.opening:  # not self._lock: other objects can be used meanwhile
                if entry.value is None:
                    entry.value = make()
            yield entry.value  # type: ignore[misc]
        finally:
            with self._lock:
                entry.users -= 1
                entry.used = time.monotonic()
                entry.stale |= self._closed.is_set()
                self._close_unused()

    def _close_unused(self) -> None:
        for key, entry in list(self._entries.items()):
            idle = self._idle and time.monotonic() - entry.used >= self._idle
            if not entry.users and (entry.stale or idle or entry.value is None):
                del self._entries[key]
                if entry.value is not None:
                    entry.value.close()

    def _start_sweeping(self) -> None:
        if self._sweeper is None and self._idle:
            self._sweeper = threading.Thread(target=self._sweep, daemon=True)
            self._sweeper.start()

    def _sweep(self) -> None:
        while not self._closed.wait(self._idle / 4):
            with self._lock:
                self._close_unused()
