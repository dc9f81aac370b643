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

CLOSED = b"c"  # told to the server: a connection was closed


class Host:
    """A loaded model, for all who ask it at once."""

    def __init__(self, model: LlamaEmbedder | LlamaReranker, notices: list[str]) -> None:
        """notices: what was said while the model was loaded."""
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
        """Answer what comes over a connection until it is closed."""
        wire.send(connection, self._about)
        while True:
            question, _ = wire.receive(connection)
            try:
                self._answer(connection, lambda: not wire.is_gone(connection), **question)
            except OSError:
                raise
            except Exception as error:
                wire.send(connection, {"error": described(error)})

    def _embed(
        self,
        connection: socket.socket,
        is_wanted: Callable[[], bool],
        texts: list[str],
        is_query: bool,
        instruction: str | None,
        dims: int | None,
    ) -> None:
        from qrank.llama.embedder import embedded

        model = self._embedder
        model.require_dims(dims)
        prompted = model.prompted(texts, is_query, instruction)
        outputs = list(chain.from_iterable(self._vectors.answers(prompted, is_wanted)))
        if len(outputs) < len(texts):
            return  # nobody reads it
        made = embedded(outputs, dims or model.dims)
        header = {
            "shape": list(made.vectors.shape),
            "truncated": made.truncated,
            "tokens": sum(output.tokens for output in outputs),
        }
        wire.send(connection, header, made.vectors.astype("<f4").tobytes())

    def _rerank(
        self,
        connection: socket.socket,
        is_wanted: Callable[[], bool],
        query: str,
        texts: list[str],
        instruction: str | None,
    ) -> None:
        from qrank.llama.reranker import Question

        self._reranker.require_instruction(instruction)
        # A client that was stopped by Ctrl-Z soon gets no more scores computed.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        questions = [Question(query, text, instruction) for text in texts]
        for scores in self._scores.answers(questions, is_wanted):
            batch = {
                "scores": [score.p_yes for score in scores],
                "tokens": sum(score.tokens for score in scores),
            }
            wire.send(connection, batch)
        wire.send(connection, {"end": True})


def described(error: Exception) -> dict[str, str]:
    """An error as its kind and what it says."""
    return {"kind": type(error).__name__, "said": str(error), "what": getattr(error, "what", "")}


def raised(message: dict[str, str]) -> Exception:
    """The error that a message of `described` stands for."""
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
    except TypeError:  # it wants other arguments
        return RuntimeError(text)


class _Notices(logging.Handler):
    """Keeps what is logged while the model loads, for those who use it."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.messages.append(record.getMessage())


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
    host = Host(model, notices.messages)
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
