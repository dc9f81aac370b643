"""A process that runs one model for all commands and services.

Each model has its own process, so that unloading it really frees the memory, a crash in llama.cpp
ends only that process, and keyword searches never wait for a model.
"""

from __future__ import annotations

import builtins
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qrank import errors
from qrank.inference.loading import open_embedder, open_reranker
from qrank.models.registry import Entry, Role
from qrank.serve import wire
from qrank.serve.jobs import Jobs
from qrank.settings import Placement

if TYPE_CHECKING:
    from qrank.llama.embedder import LlamaEmbedder
    from qrank.llama.reranker import LlamaReranker

CLOSED = b"c"  # the message to the supervisor when a connection was closed


class Host:
    """Answers requests to a loaded model, from several connections at once."""

    def __init__(self, model: LlamaEmbedder | LlamaReranker, notices: list[str]) -> None:
        """notices: warnings that were logged while the model was loaded, for the clients."""
        from qrank.llama.reranker import LlamaReranker

        self._about: dict[str, Any] = {
            "notices": notices,
            "instruction": model.takes_instruction,
        }
        self._answer: Callable[..., None]
        if isinstance(model, LlamaReranker):
            self._scores, self._reranker = Jobs(model.outputs), model
            self._answer = self._rerank
        else:
            self._vectors, self._embedder = Jobs(model.outputs), model
            self._answer = self._embed
            self._about |= {"dims": model.dims, "window": model.window}

    def answer(self, connection: socket.socket) -> None:
        """Answer the requests on a connection until it is closed. Raises OSError then."""
        wire.send(connection, self._about)
        while True:
            request, _ = wire.receive(connection)
            try:
                self._answer(connection, lambda: not wire.is_gone(connection), **request)
            except OSError:
                raise
            except Exception as error:
                wire.send(connection, {"error": described(error)})

    def _embed(
        self,
        connection: socket.socket,
        is_connected: Callable[[], bool],
        texts: list[str],
        is_query: bool,
        instruction: str | None,
        dims: int | None,
    ) -> None:
        from qrank.llama.embedder import embedded

        model = self._embedder
        model.require_dims(dims)
        prompted = model.prompted(texts, is_query, instruction)
        outputs = list(chain.from_iterable(self._vectors.answers(prompted, is_connected)))
        if len(outputs) < len(texts):
            return  # the client has gone
        result = embedded(outputs, dims or model.dims)
        header = {
            "shape": list(result.vectors.shape),
            "truncated": result.truncated,
            "tokens": sum(output.tokens for output in outputs),
        }
        wire.send(connection, header, result.vectors.astype("<f4").tobytes())

    def _rerank(
        self,
        connection: socket.socket,
        is_connected: Callable[[], bool],
        query: str,
        texts: list[str],
        instruction: str | None,
    ) -> None:
        from qrank.llama.reranker import Question

        self._reranker.require_instruction(instruction)
        # A small buffer: if the client is stopped by Ctrl-Z, sending blocks, and so scoring stops.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        questions = [Question(query, text, instruction) for text in texts]
        for scores in self._scores.answers(questions, is_connected):
            batch = {
                "scores": [score.p_yes for score in scores],
                "tokens": sum(score.tokens for score in scores),
            }
            wire.send(connection, batch)
        wire.send(connection, {"end": True})


def described(error: Exception) -> dict[str, str]:
    """An error as JSON: its class name, message, and the `what` of a QrankError."""
    return {"kind": type(error).__name__, "said": str(error), "what": getattr(error, "what", "")}


def raised(message: dict[str, str]) -> Exception:
    """The error that `described` made message of; RuntimeError for other classes."""
    kind, text = message["kind"], message["said"]
    error_class = getattr(errors, kind, None)
    if isinstance(error_class, type) and issubclass(error_class, errors.QrankError):
        error = error_class(message["what"])
        error.args = (text,)
        return error
    error_class = getattr(builtins, kind, RuntimeError)
    error_class = (
        error_class
        if isinstance(error_class, type) and issubclass(error_class, Exception)
        else RuntimeError
    )
    try:
        return error_class(text)
    except TypeError:  # the class takes other arguments
        return RuntimeError(text)


class _Notices(logging.Handler):
    """Collects the warnings that are logged while the model loads."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.messages.append(record.getMessage())


def run(spec: dict[str, Any], control: socket.socket, first: socket.socket) -> None:
    """Load a model, and answer on the connections that the supervisor sends over control, until
    that is closed.

    spec: see remote._spec. first: the first connection, to which an error in loading is sent.
    """
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
    host = Host(model, notices.messages)
    _start(host, first, control)
    while True:
        try:
            _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        except OSError:
            return
        if not descriptors:
            return  # the supervisor has ended, or unloads this model
        _start(host, socket.socket(fileno=descriptors[0]), control)


def run_with_exec(spec: dict[str, Any], control: socket.socket, first: socket.socket) -> None:
    """As run, but replaces this process by a new program (exec)."""
    for connection in (control, first):
        connection.set_inheritable(True)
    numbers = [str(connection.fileno()) for connection in (control, first)]
    os.execv(sys.executable, [sys.executable, "-P", "-m", __name__, json.dumps(spec), *numbers])


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
