"""A server on loopback that speaks the hub's protocol: metadata by HEAD, a redirect to where the
bytes lie, ranges. It can cut connections, throttle, refuse, send other bytes, or a proxy's page.

Source: the headers that huggingface-hub asks for (X-Repo-Commit, X-Linked-Etag, X-Linked-Size).
"""

from __future__ import annotations

import hashlib
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import loopback

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the server holds, how it misbehaves, and what it was asked."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)  # OWNER/REPO/FILE -> content
    cuts: int = 0  # so many times a connection is reset after cut_after bytes
    cut_after: int = 65_536
    polite: bool = False  # end the connection cleanly instead of resetting it
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # answered first
    corrupt: bool = False
    page: bool = False  # a proxy that answers everything with HTML
    expired: int = 0  # so many times the link to the bytes is refused, until it is asked for anew
    holds: bool = False  # the bytes back after the first block
    asked: list[tuple[str, str]] = field(default_factory=list)  # (method, Range)
    paths: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)  # the authorization that came with each


class _Handler(loopback.Handler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.hub
        hub.asked.append((self.command, self.headers.get("Range", "")))
        hub.paths.append(self.path)
        hub.tokens.append(self.headers.get("Authorization", ""))
        if hub.statuses:
            status, headers = hub.statuses.pop(0)
            self._send(status, headers)
        elif hub.page:
            self._send(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>")
        elif self.path.startswith("/bytes/") and hub.expired:
            hub.expired -= 1
            self._send(403, {})
        elif self.path.startswith("/bytes/"):
            self._bytes(hub.files[self.path.removeprefix("/bytes/")])
        else:
            self._resolve()

    def _resolve(self) -> None:
        repository, found, rest = self.path.lstrip("/").partition("/resolve/")
        name = f"{repository}/{rest.partition('/')[2]}"
        if not found or name not in self.hub.files:
            self._send(404, {"X-Error-Code": "EntryNotFound"})
            return
        data = self.hub.files[name]
        digest = hashlib.sha256(data).hexdigest()
        self._send(
            302,
            {
                "X-Repo-Commit": COMMIT,
                "X-Linked-Etag": f'"{digest}"',
                "X-Linked-Size": str(len(data)),
                "Location": f"{self.hub.url.replace('127.0.0.1', 'localhost')}/bytes/{name}",
            },
        )

    def _bytes(self, data: bytes) -> None:
        hub = self.hub
        if hub.corrupt:
            data = data[:-1] + bytes([data[-1] ^ 1])
        asked = self.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        sent = 0
        while start + sent < len(data):
            block = data[start + sent : start + sent + 16_384]
            if hub.cuts and sent >= hub.cut_after:
                hub.cuts -= 1
                self._cut()
                return
            self.wfile.write(block)
            sent += len(block)
            while hub.holds:
                time.sleep(0.02)

    def _cut(self) -> None:
        self.wfile.flush()
        if not self.hub.polite:  # a reset, not an end
            time.sleep(0.02)  # let what was sent arrive
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@contextmanager
def running() -> Iterator[Hub]:
    """A hub on a free port of loopback."""
    hub = Hub("")
    with loopback.serving(type("Handler", (_Handler,), {"hub": hub})) as hub.url:
        try:
            yield hub
        finally:
            hub.holds = False
