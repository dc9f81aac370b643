"""The HTTP server: its socket, and running it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from qrank.agents.tools import Tools
from qrank.errors import InputError
from qrank.files import reason
from qrank.serve.pool import Pool
from qrank.settings import Settings
from qrank.urls import IndexPlace
from qrank.web import app
from qrank.web.access import Access
from qrank.web.answers import Answers
from qrank.web.guard import Guard

PORT = 8420
LOCAL = frozenset({"localhost"})
PATIENCE = 10.0  # seconds for a request to begin
MOST_CONNECTIONS = 400
FILES = 2048  # that the process wants to have open at once, when it may
BACKLOG = 128  # connections that are accepted at once


class _Patient(H11Protocol):  # type: ignore[misc]  # of an extra
    """A connection on which a request has to come soon; when there are too many, those that have
    none yet are closed, the oldest first."""

    waiting: dict[_Patient, None]  # of this server; the oldest first
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A client has connected."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            oldest = next(iter(self.waiting), self)
            oldest._stop_waiting()  # now: further ones come before it hears that it is closed
            oldest._give_up()
            if oldest is self:
                return
        self.waiting[self] = None
        self._timer = self.loop.call_later(PATIENCE, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        super().data_received(data)
        if self.cycle is not None:  # a whole request's head; what follows is limited elsewhere
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        self.waiting.pop(self, None)
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self.transport.abort()


def address(text: str) -> tuple[str, int]:
    """The host and the port of [HOST:]PORT. Raises InputError.

    >>> address("8420"), address("0.0.0.0:80"), address("[::1]:80"), address("localhost:0")
    (('127.0.0.1', 8420), ('0.0.0.0', 80), ('::1', 80), ('localhost', 0))
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or len(port) > 5 or int(port) > 65535:
        raise InputError(f"--http takes [HOST:]PORT, not {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises InputError when it can't be opened."""
    try:
        family, kind, number, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, number)
        try:
            if os.name != "nt":
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise InputError(f"can't listen on {host}:{port}: {reason(error)}") from error
    return listening


def url(listening: socket.socket) -> str:
    """The address of a server, as a program on this machine asks it."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(
    listening: socket.socket,
    host: str,
    token: str,
    settings: Callable[[Path | None], Settings],
    db: IndexPlace,
    pool: Pool | None = None,
) -> None:
    """Serve until SIGTERM, or until the process that started this one has ended. host: as it was
    named; settings: what is preset in a folder; db: the index unless a request names another."""
    _allow_files()
    pool = pool or Pool(settings(None))
    tools, made = assemble(host, token, settings, db, pool)
    server = uvicorn.Server(configuration(made))
    if sys.platform != "win32":
        server.config.callback_notify = _ending_with(os.getppid())
        server.config.timeout_notify = 1
    try:
        server.run(sockets=[listening])
    finally:
        tools.close()
    sys.stderr.flush()
    os._exit(0)  # a thread may be in a model


def _allow_files() -> None:
    """Let this process have enough files open for MOST_CONNECTIONS, or take fewer connections.

    Those that are too many are closed a turn or two of the event loop after they were accepted, so
    that up to three BACKLOGs are open beside those that may be.
    """
    global MOST_CONNECTIONS, BACKLOG
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            soft = limit
    if soft != resource.RLIM_INFINITY:
        BACKLOG = min(BACKLOG, max(8, soft // 8))
        MOST_CONNECTIONS = min(MOST_CONNECTIONS, max(16, (soft - 3 * BACKLOG) // 2))


def assemble(
    host: str, token: str, settings: Callable[[Path | None], Settings], db: IndexPlace, pool: Pool
) -> tuple[Tools, Guard]:
    """The tools of MCP, to be closed at the end, and the application."""
    names = LOCAL | {host.lower(), socket.gethostname().lower()} - {"0.0.0.0", "::", ""}
    tools = Tools(pool, settings, db=db)
    return tools, app.make_app(Answers(pool, lambda: db), Access(token), names, _mcp(tools))


def configuration(made: Any) -> uvicorn.Config:
    """How uvicorn serves an application."""
    protocol = type("_Connection", (_Patient,), {"waiting": {}})
    return uvicorn.Config(
        made,
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        backlog=BACKLOG,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
    )


def _mcp(tools: Tools) -> Any:
    try:
        from qrank.agents import server
    except ImportError:
        return None
    return server.http_routes(tools)


def _ending_with(parent: int) -> Callable[[], Any]:
    """What ends this process when its parent has ended, however it did."""

    async def check() -> None:
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return check
