"""Parsing the URLs of model servers and indexes. All URLs are parsed here, so that checks and
requests agree on what they mean."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from qrank.errors import InputError

_LOOKS_LIKE_ONE = re.compile(r"\s*https?:|.*://", re.IGNORECASE | re.DOTALL)
_FORM = "write http(s)://HOST[:PORT][/PATH][#MODEL]; a key goes into QRANK_API_KEY"


class ServerUrl(NamedTuple):
    """http(s)://HOST[:PORT][/PATH][#MODEL]; scheme and host in lowercase."""

    origin: str  # http(s)://HOST[:PORT]
    host: str
    path: str  # without a slash at its end
    model: str | None

    @property
    def base(self) -> str:
        """The URL that paths of endpoints are appended to."""
        return self.origin + self.path


def is_url(text: str) -> bool:
    """Whether the name of a model or index looks like a URL, valid or not.

    >>> [is_url(text) for text in (" HTTP://a", "https:b", "ftp://c", "d/e.gguf", "qwen:Q8_0")]
    [True, True, True, False, False]
    """
    return _LOOKS_LIKE_ONE.match(text) is not None


def parse(text: str) -> ServerUrl:
    """Parse the URL of one server.

    >>> parse(" HTTP://Host:8080/v1/#m ")
    ServerUrl(origin='http://host:8080', host='host', path='/v1', model='m')

    Raises InputError for another scheme, and for a URL without a host, or with a user or password.
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
    """Parse the URLs of several servers, separated by commas. Raises InputError."""
    return [parse(part) for part in text.split(",")]


_INDEX_FORM = "write http(s)://HOST[:PORT][/PATH]/NAME, NAME of small letters, digits, - and _"
_INDEX_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,199}")


@dataclass(frozen=True, slots=True)
class IndexUrl:
    """http(s)://HOST[:PORT][/PATH]/NAME: an index in a search engine. It has those methods of Path
    that are needed where an index may also be a file."""

    base: str  # the engine's address
    host: str
    name: str
    # (a folder as the index knows it, where that is on this machine)
    folders: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.base}/{self.name}"

    def absolute(self) -> IndexUrl:
        """The URL itself."""
        return self

    def expanduser(self) -> IndexUrl:
        """The URL itself."""
        return self


IndexPlace = Path | IndexUrl


def index_place(named: str | os.PathLike[str] | IndexUrl) -> IndexPlace:
    """The location of an index that the user named: a file, or the URL of a search engine.

    >>> str(index_place("https://Search.example:9200/notes/")), index_place("notes.db").name
    ('https://search.example:9200/notes', 'notes.db')

    Raises InputError for a URL that is not valid for an index.
    """
    if isinstance(named, IndexUrl):
        return named
    if not isinstance(named, str) or not is_url(named):
        return Path(named)
    url = parse(named)
    above, _, name = url.path.rpartition("/")
    if url.model is not None or not _INDEX_NAME.fullmatch(name):
        raise InputError(f"{url.base} can't be used as an index's URL", hint=_INDEX_FORM)
    return IndexUrl(url.origin + above, url.host, name)
