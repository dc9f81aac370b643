"""Running the HTTP server (uvicorn), and its socket."""

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
REQUEST_SECONDS = 10.0  # timeout for the head of a request
MOST_CONNECTIONS = 400
FILES = 2048  # open at a time: the limit that is set, if that is allowed
BACKLOG = 128  # connections that wait to be accepted


class _Limited(H11Protocol):  # type: ignore[misc]  # of an extra
    """A connection with a timeout for its next request. If there are too many connections, those
    without a request are closed, oldest first."""

    waiting: dict[_Limited, None]  # connections without a request, oldest first
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A client has connected (asyncio)."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            oldest = next(iter(self.waiting), self)
            oldest._stop_waiting()  # before the next connection, unlike connection_lost
            oldest._abort()
            if oldest is self:
                return
        self.waiting[self] = None
        self._timer = self.loop.call_later(REQUEST_SECONDS, self._abort)

    def data_received(self, data: bytes) -> None:
        """Data has been received (asyncio)."""
        super().data_received(data)
        if self.cycle is not None:  # the head is complete; the body is limited by guard.py
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection was closed (asyncio)."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        self.waiting.pop(self, None)
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _abort(self) -> None:
        self.transport.abort()


def address(text: str) -> tuple[str, int]:
    """Parse [HOST:]PORT; the default host is 127.0.0.1. Raises InputError.

    >>> address("8420"), address("0.0.0.0:80"), address("[::1]:80"), address("localhost:0")
    (('127.0.0.1', 8420), ('0.0.0.0', 80), ('::1', 80), ('localhost', 0))
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or len(port) > 5 or int(port) > 65535:
        raise InputError(f"--http takes [HOST:]PORT, not {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


def listen(host: str, port: int) -> socket.socket:
    """Open a listening TCP socket. Raises InputError."""
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
    """The base URL of a server for clients on this machine."""
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
    """Serve until SIGTERM, or until the parent process ends. host: as in --http, an allowed host
    name; settings: returns the settings for a folder; db: the default index."""
    _set_limits()
    pool = pool or Pool(settings(None))
    tools, application = assemble(host, token, settings, db, pool)
    server = uvicorn.Server(configuration(application))
    if sys.platform != "win32":
        server.config.callback_notify = _end_with(os.getppid())
        server.config.timeout_notify = 1
    try:
        server.run(sockets=[listening])
    finally:
        tools.close()
    sys.stderr.flush()
    os._exit(0)  # without waiting for threads, which may be running a model


def _set_limits() -> None:
    """Raise the limit of open files to what MOST_CONNECTIONS needs, or else lower that.

    Excess connections are closed one or two iterations of the event loop after they were accepted,
    so up to 3 * BACKLOG connections may be open in addition.
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
    """The MCP tools, which have to be closed, and the application."""
    names = LOCAL | {host.lower(), socket.gethostname().lower()} - {"0.0.0.0", "::", ""}
    tools = Tools(pool, settings, db=db)
    return tools, app.make_app(Answers(pool, lambda: db), Access(token), names, _mcp(tools))


def configuration(application: Any) -> uvicorn.Config:
    """The configuration of uvicorn for an application."""
    protocol = type("_Connection", (_Limited,), {"waiting": {}})
    return uvicorn.Config(
        application,
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


def _end_with(parent: int) -> Callable[[], Any]:
    """A callback that ends this process when its parent has ended."""

    async def check() -> None:
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return check
