"""The HTTP server of qrank, in a thread of the tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import uvicorn
from support import wait_until

from qrank.config import load_settings
from qrank.serve.pool import Pool
from qrank.web import run, schemas
from qrank.web.access import read_token


@dataclass
class Web:
    """A server that runs."""

    url: str
    port: int
    token: str
    pool: Pool

    def is_busy(self) -> bool:
        """Whether something uses an index or a model."""
        return any(entry.users for entry in [*self.pool._entries.values()])

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        method: str = "",
        token: str | None = "",
        **headers: str,
    ) -> tuple[int, dict[str, str], Any]:
        """(status, headers, JSON or text) of an answer; the token is sent unless it is None. Its
        status has to be in the OpenAPI document."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            named.setdefault("Authorization", f"Bearer {token or self.token}")
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if data is not None:
            named.setdefault("Content-Type", "application/json")
        method = method or ("GET" if data is None else "POST")
        connection.request(method, path, data, named)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        said = {name.lower(): value for name, value in answer.getheaders()}
        kind = said.get("content-type", "")
        described = schemas.openapi()["paths"].get(path.partition("?")[0], {})
        if operation := described.get(method.lower()):
            assert str(answer.status) in operation["responses"], (path, answer.status)
        if "json" in kind:
            return answer.status, said, json.loads(text)
        return answer.status, said, text if kind.startswith("image") else text.decode()


@contextmanager
def serving(db: Path, token_file: Path) -> Iterator[Web]:
    """A server of an index."""
    token = read_token(token_file)
    listening = run.listen("127.0.0.1", 0)
    with Pool() as pool:
        tools, app = run.assemble("127.0.0.1", token, load_settings, db, pool)
        server = uvicorn.Server(run.configuration(app))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        try:
            yield Web(run.url(listening), listening.getsockname()[1], token, pool)
        finally:
            server.should_exit = True
            thread.join(60)
            tools.close()
            listening.close()
