"""A client of one server: JSON over HTTP, with retries that respect Retry-After."""

from __future__ import annotations

import json
import time
from typing import Any

from qrank.errors import ModelError
from qrank.model_servers import keys
from qrank.urls import ServerUrl

TRIES = 5
WAIT, MOST_WAIT = 0.5, 60.0  # seconds before the second try, doubled each time; the most
CONNECT_SECONDS, RESPONSE_SECONDS = 10.0, 300.0
LONGEST_RESPONSE = 64 << 20  # bytes, decompressed; 64 vectors of 4096 dims have six million
RETRYABLE = (408, 425, 429, 500, 502, 503, 504)


class ServerError(ModelError):
    """An invalid or refused response; status_code is None when the server does not respond."""

    def __init__(self, message: str, *, status: int | None = 200, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status_code = status


class Server:
    """A server by its URL, which may name the model to use. Thread-safe."""

    def __init__(self, url: ServerUrl, key_variable: str = "", key: str | None = None) -> None:
        """key_variable: the environment variable with the server's own key; key: the default.
        Raises InputError when key_variable is not set."""
        import httpx2

        self.url, self._path = url.base, url.path
        self.model = url.model
        key = keys.find(url.host, key_variable, key)
        self._client = httpx2.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(RESPONSE_SECONDS, connect=CONNECT_SECONDS),
        )

    def paths(self, name: str) -> tuple[str, ...]:
        """The paths, below the base URL, where an endpoint may be, most likely first."""
        own = self._path
        if own.endswith(f"/{name}"):
            return ("",)
        return (f"/{name}", f"/v1/{name}") if own else (f"/v1/{name}", f"/{name}")

    def served_model(self) -> str | None:
        """The only model that the server lists; None when it lists none or has no list.

        Raises ServerError when it lists several.
        """
        for path in self.paths("models"):
            try:
                models = self.request(path, None).get("data")
                names = [str(model["id"]) for model in models]
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

    def request(self, path: str, body: dict[str, Any] | None, *, tries: int = TRIES) -> Any:
        """POST a JSON body to a path below the base URL (GET without a body); returns the parsed
        JSON response.

        Retries when the server is busy or broken, after the seconds of its Retry-After, if any.
        Raises ServerError.
        """
        import httpx2

        problem = ""
        for attempt in range(tries):
            wait = WAIT * 2**attempt
            try:
                response, data = self._send(path, body)
            except httpx2.HTTPError as error:
                problem = str(error) or type(error).__name__
            else:
                if response.status_code not in RETRYABLE:
                    return self._parse(response, data, path)
                problem = f"status {response.status_code}"
                seconds = response.headers.get("retry-after", "")
                wait = float(seconds) if seconds.isdecimal() else wait
            if attempt + 1 < tries:
                time.sleep(min(MOST_WAIT, wait))
        raise ServerError(
            f"{self.url} can't be used: {problem}",
            status=None,
            hint="check that it runs, then run this again",
        )

    def _send(self, path: str, body: dict[str, Any] | None) -> tuple[Any, bytes]:
        """The response and its body. Raises ServerError when it is longer than
        LONGEST_RESPONSE."""
        method = "GET" if body is None else "POST"
        data = bytearray()
        with self._client.stream(method, self.url + path, json=body) as response:
            for part in response.iter_bytes():
                data += part
                if len(data) > LONGEST_RESPONSE:
                    raise ServerError(f"{self.url}{path} sent an answer that is too large")
        return response, bytes(data)

    def _parse(self, response: Any, data: bytes, path: str) -> Any:
        status = int(response.status_code)
        if status in (401, 403):
            raise ServerError(
                f"{self.url} rejected the key ({status})",
                status=status,
                hint=f"put the right key into {keys.VARIABLE}",
            )
        if 300 <= status < 400:  # not followed: texts and key only go to the server the user named
            location = response.headers.get("location", "elsewhere")
            raise ServerError(
                f"{self.url}{path} redirects to {location} ({status})",
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
        """Close the connections."""
        self._client.close()
