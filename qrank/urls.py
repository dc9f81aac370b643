"""Addresses of model servers: parsed here alone, so that one spelling can't pass a check and mean
something else later."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from qrank.errors import InputError

_LOOKS_LIKE_ONE = re.compile(r"\s*https?:|.*://", re.IGNORECASE | re.DOTALL)
_FORM = "write http(s)://HOST[:PORT][/PATH][#MODEL]; a key goes into QRANK_API_KEY"


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """http(s)://HOST[:PORT][/PATH][#MODEL], scheme and host in lower case."""

    origin: str  # http(s)://HOST[:PORT]
    host: str
    path: str  # without a slash at its end
    model: str | None

    @property
    def base(self) -> str:
        """Where endpoints are below."""
        return self.origin + self.path


def is_url(text: str) -> bool:
    """Whether a name of a model is meant as a URL, well-formed or not, and not as a file.

    >>> [is_url(text) for text in (" HTTP://a", "https:b", "ftp://c", "d/e.gguf", "qwen:Q8_0")]
    [True, True, True, False, False]
    """
    return _LOOKS_LIKE_ONE.match(text) is not None


def parse(text: str) -> ServerUrl:
    """Take the URL of one server apart.

    >>> parse(" HTTP://Host:8080/v1/#m ")
    ServerUrl(origin='http://host:8080', host='host', path='/v1', model='m')

    Raises InputError for another scheme, for one without a host, and for one with a password.
    """
    shown = re.sub(r"//[^/@]*@", "//…@", text.strip())  # without a password
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{shown} can't be used as a server's URL ({error})", hint=_FORM) from None
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.password:
        raise InputError(f"{shown} can't be used as a server's URL", hint=_FORM)
    bracketed = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{bracketed}" + (f":{port}" if port is not None else "")
    return ServerUrl(origin, host, parts.path.rstrip("/"), parts.fragment or None)


def parse_all(text: str) -> list[ServerUrl]:
    """The URLs of several servers that share the work, separated by commas. Raises InputError."""
    return [parse(part) for part in text.split(",")]
