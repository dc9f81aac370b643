"""HTTP as a part of the warm process, and opening the page that it serves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qrank.errors import InputError
from qrank.urls import IndexPlace

if TYPE_CHECKING:
    import socket

    from qrank.settings import Settings

ADDRESS = "127.0.0.1:8420"  # without --http
SECONDS = 10.0  # for the server to answer


@dataclass(frozen=True, slots=True)
class HttpService:
    """A server that listens, and will answer once `run` is called, in a process of its own."""

    listening: socket.socket
    host: str
    token: str
    about: dict[str, Any]
    settings: Callable[[Path | None], Settings]
    db: IndexPlace

    def run(self) -> None:
        """Serve until SIGTERM."""
        from qrank.serve import remote
        from qrank.web.run import run

        remote.use()
        run(self.listening, self.host, self.token, self.settings, self.db)


def prepare(text: str, settings: Callable[[Path | None], Settings], db: IndexPlace) -> HttpService:
    """Listen on [HOST:]PORT. db: the index unless a request names another. Raises InputError when
    that can't be, or the extra is not installed."""
    try:
        from qrank.web import run
    except ImportError as error:
        raise InputError(
            f"HTTP needs the package {error.name}",
            hint='install it with: pip install "qrank[http]"',
        ) from error
    from qrank.web.access import read_token, token_file

    host, port = run.address(text)
    place = token_file()
    token = read_token(place)
    listening = run.listen(host, port)
    about = {"http": run.url(listening), "token_file": str(place)}
    return HttpService(listening, host, token, about, settings, db)


def page_address(url: str, token_file: Path) -> str:
    """The address of the page, with a code that opens it once. Raises InputError."""
    import http.client
    from urllib.parse import urlsplit

    from qrank.web.access import read_token

    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        headers = {"Authorization": f"Bearer {read_token(token_file)}"}
        connection.request("POST", "/v1/open", b"{}", headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise InputError(f"{url} answers {answer.status}", hint="was the token replaced?")
        return f"{url}/?code={json.loads(body)['code']}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise InputError(f"{url} does not answer: {error}") from error
    finally:
        connection.close()
