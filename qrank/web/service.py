"""HTTP as a service of the warm process, and the URL of its web page."""

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
SECONDS = 10.0  # timeout for a request to the server


@dataclass(frozen=True, slots=True)
class HttpService:
    """A listening HTTP server; `run`, in a child process, answers requests."""

    listening: socket.socket
    host: str
    token: str
    about: dict[str, Any]
    settings: Callable[[Path | None], Settings]
    db: IndexPlace

    def run(self) -> None:
        """Serve until SIGTERM, with the models of the warm process."""
        from qrank.serve import remote
        from qrank.web.run import run

        remote.use()
        run(self.listening, self.host, self.token, self.settings, self.db)


def prepare(text: str, settings: Callable[[Path | None], Settings], db: IndexPlace) -> HttpService:
    """Listen on text, [HOST:]PORT. settings: returns the settings for a folder; db: the default
    index. Raises InputError when that fails, or the extra `qrank[http]` is not installed."""
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
    """The URL of the page with a one-time code, which the server at url is asked for. Raises
    InputError."""
    import http.client
    from urllib.parse import urlsplit

    from qrank.web.access import read_token

    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        headers = {"Authorization": f"Bearer {read_token(token_file)}"}
        connection.request("POST", "/v1/open", b"{}", headers)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise InputError(f"{url} answers {response.status}", hint="was the token replaced?")
        return f"{url}/?code={json.loads(body)['code']}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise InputError(f"{url} does not answer: {error}") from error
    finally:
        connection.close()
