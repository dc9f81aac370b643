"""Checks of every request: Host, Origin, credentials, and limits of size and time."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.exceptions import HTTPException

from qrank.web import problems
from qrank.web.access import COOKIE, Access

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

MOST_BYTES = 16 << 20  # of a body
BODY_SECONDS = 30.0  # timeout for receiving it
SECONDS = 900.0  # timeout for a request, its response included
PUBLIC = ("/healthz",)  # paths that need no credentials
_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        b"connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """ASGI middleware that only passes on requests of this user: with the right Host and Origin,
    and a token or cookie. It limits the size and time of bodies, and adds security headers."""

    def __init__(self, app: App, access: Access, names: frozenset[str]) -> None:
        """names: the allowed host names, besides IP addresses."""
        self._app, self._access, self._names = app, access, names

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # WebSockets are not supported
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await send(message)

        headers = _headers(scope)
        refused = self._refusal(scope, headers)
        if refused:
            await problems.response(*refused)(scope, receive, send_with_headers)
            return
        limited = _Limited(receive, headers.get("content-length", ""))
        try:
            async with asyncio.timeout(SECONDS):
                await self._app(scope, limited.receive, send_with_headers)
        except TimeoutError:
            if not started:
                detail = f"there was no answer within {SECONDS:g} seconds"
                await problems.response(503, detail)(scope, receive, send_with_headers)

    def _refusal(self, scope: dict[str, Any], headers: dict[str, str]) -> tuple[int, str] | None:
        """The status and reason for refusing a request; None when it is allowed."""
        host = headers.get("host", "")
        if not self._is_here(host):
            return 421, f"this server is not called {host[:100]!r}"
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return 403, "a page of another origin may not ask"
        navigates = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not navigates:
            return 403, "a page of another site may not ask"
        if scope["path"] in PUBLIC or self._access.has_token(headers.get("authorization", "")):
            return None
        if self._access.has_session(_cookie(headers.get("cookie", ""))):
            return None
        if scope["path"] == "/" and scope["method"] == "GET":
            return None  # the page checks the code itself
        return 401, "send the token as: Authorization: Bearer TOKEN (see qrank serve status --json)"

    def _is_here(self, host: str) -> bool:
        """Whether a Host header names this server. Unknown names are refused because of DNS
        rebinding, which is not possible with IP addresses."""
        name = host.rpartition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
        if name.lower().rstrip(".") in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


class _Limited:
    """Receives a body with limits of size and time."""

    def __init__(self, receive: Receive, length: str) -> None:
        self._receive = receive
        self._left = MOST_BYTES
        self._deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        self._whole = False
        if length.isdecimal() and (len(length) > 12 or int(length) > MOST_BYTES):
            self._left = -1

    async def receive(self) -> Message:
        """The next message. Raises HTTPException: 413 or 408."""
        if self._left < 0:
            raise HTTPException(413, f"a body may have at most {MOST_BYTES} bytes")
        if self._whole:  # the next message is that the client disconnects: no timeout
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            detail = f"the body did not come within {BODY_SECONDS:g} seconds"
            raise HTTPException(408, detail) from None
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._left < 0:
                raise HTTPException(413, f"a body may have at most {MOST_BYTES} bytes")
        return message


def _headers(scope: dict[str, Any]) -> dict[str, str]:
    """The headers of a request by lowercase name. A header that is used for access control counts
    as empty if it is repeated: one of them may be meant for another server in front."""
    result: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        twice = key in result and key in ("host", "origin", "authorization", "content-length")
        result[key] = "" if twice else value.decode("latin-1")
    return result


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""
