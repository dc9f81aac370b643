"""Asking one server: JSON over HTTP, with retries that do as the server says."""

from __future__ import annotations

import json
import time
from typing import Any

from qrank.errors import ModelError
from qrank.model_servers import keys
from qrank.urls import ServerUrl

TRIES = 5
WAIT, MOST_WAIT = 0.5, 60.0  # seconds before the second try, doubled each time; at most
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 300.0
LONGEST_ANSWER = 64 << 20  # bytes, unpacked; 64 vectors of 4096 dims have six million
AGAIN = (408, 425, 429, 500, 502, 503, 504)


class ServerError(ModelError):
    """What a server answers wrongly; status_code is None when it does not answer."""

    def __init__(self, message: str, *, status: int | None = 200, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status_code = status


class Server:
    """A server by its URL, which may name the model that is asked for."""

    def __init__(self, url: ServerUrl, key_variable: str = "", key: str | None = None) -> None:
        """key_variable: the environment variable that holds its own key; key: for one without."""
        import httpx2

        self.url, self._path = url.base, url.path
        self.model = url.model
        key = keys.find(url.host, key_variable, key)
        self._client = httpx2.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        )

    def paths(self, name: str) -> tuple[str, ...]:
        """Where an endpoint may be: below /v1 unless the URL has a path of its own."""
        own = self._path
        if own.endswith(f"/{name}"):
            return ("",)
        return (f"/{name}", f"/v1/{name}") if own else (f"/v1/{name}", f"/{name}")

    def served_model(self) -> str | None:
        """The one model that the server lists; None when it lists none or has no list.

        Raises ServerError when it lists several and none was named.
        """
        for path in self.paths("models"):
            try:
                listed = self.ask(path, None).get("data")
                names = [str(model["id"]) for model in listed]
            except ServerError as error:
                if error.status_code not in (404, 405, 501):
                    raise
                continue
            except (KeyError, TypeError, AttributeError):
                return None
            if len(names) > 1:
                raise ServerError(
                    f"{self.url} serves {len(names)} models: {', '.join(sorted(names)[:8])}",
                    hint=f"name one: {self.url}#{names[0]}",
                )
            return names[0] if names else None
        return None

    def ask(self, path: str, body: dict[str, Any] | None, *, tries: int = TRIES) -> Any:
        """POST a JSON body below the base URL (GET without one) and return the JSON answer.

        Busy or broken servers are asked again, after as long as they say. Raises ServerError.
        """
        import httpx2

        problem = ""
        for attempt in range(tries):
            wait = WAIT * 2**attempt
            try:
                answer, data = self._send(path, body)
            except httpx2.HTTPError as error:
                problem = str(error) or type(error).__name__
            else:
                if answer.status_code not in AGAIN:
                    return self._read(answer, data, path)
                problem = f"status {answer.status_code}"
                seconds = answer.headers.get("retry-after", "")
                wait = float(seconds) if seconds.isdecimal() else wait
            if attempt + 1 < tries:
                time.sleep(min(MOST_WAIT, wait))
        raise ServerError(
            f"{self.url} can't be used: {problem}",
            status=None,
            hint="check that it runs, then run this again",
        )

    def _send(self, path: str, body: dict[str, Any] | None) -> tuple[Any, bytes]:
        """(the answer, what it says), read no further than an answer may be long."""
        method = "GET" if body is None else "POST"
        data = bytearray()
        with self._client.stream(method, self.url + path, json=body) as answer:
            for part in answer.iter_bytes():
                data += part
                if len(data) > LONGEST_ANSWER:
                    raise ServerError(f"{self.url}{path} sent an answer that is too large")
        return answer, bytes(data)

    def _read(self, answer: Any, data: bytes, path: str) -> Any:
        status = int(answer.status_code)
        if status in (401, 403):
            raise ServerError(
                f"{self.url} rejected the key ({status})",
                status=status,
                hint=f"put the right key into {keys.VARIABLE}",
            )
        if 300 <= status < 400:  # not followed: texts and key go to whom the user named
            elsewhere = answer.headers.get("location", "elsewhere")
            raise ServerError(
                f"{self.url}{path} redirects to {elsewhere} ({status})",
                status=status,
                hint="if that is right, use that URL",
            )
        if status >= 400:
            text = " ".join(data.decode("utf-8", "replace").split())[:200]
            raise ServerError(f"{self.url}{path} answers {status}: {text}", status=status)
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ServerError(
                f"{self.url}{path} did not answer with JSON",
                hint="check the URL, and whether there is a proxy in between",
            ) from error

    def close(self) -> None:
        """Close its connections."""
        self._client.close()
