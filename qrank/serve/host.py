"""A process that holds one model, for all commands and services that ask it.

Models are in no other process of the server: so memory is really given back when one is unloaded,
llama.cpp can end nothing but its own process, and a search by words never waits for a rerank.
"""

from __future__ import annotations

import builtins
import json
import logging
import os
import socket
import sys
import threading
from collections import deque
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qrank import errors
from qrank.inference.loading import open_embedder, open_reranker
from qrank.models.registry import Entry, Role
from qrank.serve import wire
from qrank.serve.turns import Turns
from qrank.settings import Placement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOGETHER = 16  # searches whose queries are computed in one batch
CLOSED = b"c"  # told to the server: a connection was closed


@dataclass(eq=False)
class _Job:
    """Texts that somebody wants the vectors of, and how; then the vectors, or what went wrong."""

    texts: list[str]
    how: tuple[bool, str | None, int | None]
    made: tuple[NDArray[np.float32], list[int]] | None = None
    error: Exception | None = None
    decoded: int = 0

    def withdraw(self, waiting: deque[_Job]) -> None:
        """Wait no more."""
        with suppress(ValueError):
            waiting.remove(self)


class Host:
    """A loaded model and who waits for it."""

    def __init__(self, model: Any, notices: list[str]) -> None:
        """model: an Embedder or a Reranker. notices: what was said while it was loaded."""
        self._model, self._turns = model, Turns()
        self._searches: deque[_Job] = deque()  # queries that wait for their turn
        self._about = {"notices": notices, "instruction": model.takes_instruction}
        if not hasattr(model, "scores"):
            self._about |= {"dims": model.dims, "window": model.window}

    def answer(self, connection: socket.socket) -> None:
        """Answer what comes over a connection until it is closed."""
        wire.send(connection, self._about)
        while True:
            asked, _ = wire.receive(connection)
            try:
                if "query" in asked:
                    self._rerank(connection, **asked)
                else:
                    self._embed(connection, **asked)
            except OSError:
                raise
            except Exception as error:
                wire.send(connection, {"error": described(error)})

    def _embed(
        self,
        connection: socket.socket,
        texts: list[str],
        is_query: bool,
        instruction: str | None,
        dims: int | None,
    ) -> None:
        job = _Job(texts, (is_query, instruction, dims))
        if is_query and len(texts) == 1:  # of a search
            self._searches.append(job)
        with self._turns:
            if job.made is None and job.error is None:
                if wire.is_gone(connection):
                    job.withdraw(self._searches)
                    return
                self._make([job, *self._alike(job)])
        if job.error is not None:
            raise job.error
        assert job.made is not None
        vectors, truncated = job.made
        told = {"shape": list(vectors.shape), "truncated": truncated, "decoded": job.decoded}
        wire.send(connection, told, vectors.astype("<f4").tobytes())

    def _alike(self, job: _Job) -> list[_Job]:
        """The queries of other searches that wait, to be computed in the same batch."""
        job.withdraw(self._searches)
        alike = [other for other in self._searches if other.how == job.how][: TOGETHER - 1]
        alike = alike if len(job.texts) == 1 else []
        for other in alike:
            other.withdraw(self._searches)
        return alike

    def _make(self, jobs: list[_Job]) -> None:
        model, before = self._model, self._model.decoded
        is_query, instruction, dims = jobs[0].how
        texts = [text for job in jobs for text in job.texts]
        try:
            if is_query:
                made = model.queries(texts, instruction, dims)
            else:
                made = model.documents(texts, dims)
        except Exception as error:
            for job in jobs:
                job.error = error
            return
        jobs[0].decoded = model.decoded - before
        if len(jobs) == 1:
            jobs[0].made = made.vectors, made.truncated
            return
        for i, job in enumerate(jobs):  # of one text each
            job.made = made.vectors[i : i + 1], [0] if i in made.truncated else []

    def _rerank(
        self, connection: socket.socket, query: str, texts: list[str], instruction: str | None
    ) -> None:
        """Scores batch by batch; after each, others who wait have their turn."""
        model = self._model
        done = 0
        while done < len(texts):
            with self._turns:
                if wire.is_gone(connection):
                    return
                before = model.decoded
                scores = model.scores(query, texts[done:], instruction)
                with closing(scores):
                    for batch in scores:
                        done += len(batch)
                        told = {"scores": batch, "decoded": model.decoded - before}
                        before = model.decoded
                        wire.send(connection, told)
                        if self._turns.wanted or wire.is_gone(connection):
                            break
        wire.send(connection, {"end": True})


def described(error: Exception) -> dict[str, str]:
    """An error as its kind and what it says."""
    return {"kind": type(error).__name__, "said": str(error), "what": getattr(error, "what", "")}


def raised(told: dict[str, str]) -> Exception:
    """The error that `described` told of."""
    kind, said = told["kind"], told["said"]
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, errors.QrankError):
        error = known(told["what"])
        error.args = (said,)
        return error
    known = getattr(builtins, kind, RuntimeError)
    known = known if isinstance(known, type) and issubclass(known, Exception) else RuntimeError
    try:
        return known(said)
    except TypeError:  # it wants other arguments
        return RuntimeError(said)


class _Notices(logging.Handler):
    """Keeps what is logged while the model loads, for those who use it."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.said.append(record.getMessage())


def run(spec: dict[str, Any], control: socket.socket, first: socket.socket) -> None:
    """Load the model of a specification, and answer the connections that the server hands over,
    until it hands over no more."""
    os.environ.update(spec["environment"])
    notices = _Notices()
    logging.getLogger("qrank").handlers[:] = [notices]
    path = Path(os.fsdecode(bytes.fromhex(spec["path"])))
    placement = Placement(*spec["placement"])
    try:
        if spec["role"] == "embedder":
            model: Any = open_embedder(path, Entry(Role.embedder, "", **spec["entry"]), placement)
        else:
            model = open_reranker(path, placement)
    except Exception as error:
        wire.send(first, {"error": described(error)})
        return
    host = Host(model, notices.said)
    _start(host, first, control)
    while True:
        try:
            _, handed, _, _ = socket.recv_fds(control, 1, 1)
        except OSError:
            return
        if not handed:
            return  # the server has ended, or lets this model go
        _start(host, socket.socket(fileno=handed[0]), control)


def run_anew(spec: dict[str, Any], control: socket.socket, first: socket.socket) -> None:
    """As run, in a program that takes this process's place."""
    for connection in (control, first):
        connection.set_inheritable(True)
    numbers = [str(connection.fileno()) for connection in (control, first)]
    os.execv(sys.executable, [sys.executable, "-m", __name__, json.dumps(spec), *numbers])


def _start(host: Host, connection: socket.socket, control: socket.socket) -> None:
    def answer() -> None:
        try:
            with connection:
                connection.settimeout(None)
                host.answer(connection)
        except (OSError, ValueError):
            pass
        finally:
            try:
                control.send(CLOSED)
            except OSError:
                os._exit(0)

    threading.Thread(target=answer, daemon=True).start()


if __name__ == "__main__":
    run(json.loads(sys.argv[1]), *(socket.socket(fileno=int(number)) for number in sys.argv[2:]))
