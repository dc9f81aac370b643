"""The HTTP client of an engine: JSON requests with retries, and translation of errors."""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from qrank.closing import Closing
from qrank.errors import IndexFileError, NoIndexError
from qrank.model_servers import keys
from qrank.urls import IndexUrl

TRIES = 7
FIRST_TRIES = 3  # before the first answer, as the URL may be wrong
WAIT, MOST_WAIT = 0.5, 15.0  # seconds before the second try, doubled for each; and at most
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 120.0
DECIMALS = 6  # of the numbers of vectors
AUTHORITIES = "SSL_CERT_FILE"
LONGEST_ANSWER = 256 << 20  # bytes
AGAIN = (408, 429, 500, 502, 503, 504)  # 500: while a hanging node is being removed
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Lines = Iterable[Mapping[str, Any]]
Options = Mapping[str, str | int | bool]


class EngineError(IndexFileError):
    """An error of an engine; status: of HTTP; kind: the engine's name of the error."""

    def __init__(self, message: str, *, status: int, kind: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.http_status, self.kind = status, kind


class ForbiddenError(EngineError):
    """The account that the key belongs to may not do this."""


class Engine(Closing):
    """A client for the engine of an index. Threads may share it."""

    def __init__(self, place: IndexUrl) -> None:
        import httpx2

        self.place, self._answered = place, False
        self._is_known = False  # whether the key was accepted
        self._client = httpx2.Client(
            headers=_headers(keys.of_index(place.host)),
            verify=_authorities() if place.base.startswith("https") else True,
            timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            trust_env=True,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        lines: Lines | None = None,
        accept: tuple[int, ...] = (),
        tries: int = TRIES,
        options: Options | None = None,
    ) -> Any:
        """Send a request, and return the JSON of the response. path: below the engine's URL; lines:
        a body of JSON Lines; accept: statuses of errors whose body is returned; options: the query
        string.

        Retries when the engine is busy, or can't be reached, so requests must be idempotent. Raises
        EngineError, and IndexFileError when there is no answer.
        """
        import httpx2

        url = self.place.base + path + ("?" + _query(options) if options else "")
        content, kind = _content(body, lines)
        problem = ""
        for attempt in range(tries):
            wait = min(MOST_WAIT, WAIT * 2**attempt)
            try:
                status, headers, data = self._send(method, url, content, kind)
            except httpx2.HTTPError as error:
                problem = _short(str(error) or type(error).__name__)
                if "certificate" in problem.lower():
                    raise IndexFileError(
                        f"the certificate of {self.place.base} can't be trusted: {problem}",
                        hint=f"name the file of the authority that signed it in {AUTHORITIES}",
                    ) from error
                if "WRONG_VERSION_NUMBER" in problem:
                    raise IndexFileError(
                        f"{self.place.base} does not speak TLS", hint="write http:// for this one"
                    ) from error
            else:
                again = status in AGAIN and status not in accept and not _is_blocked(data)
                if not again or attempt + 1 == tries:
                    return self._read(status, headers, data, accept, method, path)
                problem = f"status {status}"
                seconds = headers.get("retry-after", "")
                wait = min(MOST_WAIT, float(seconds)) if seconds.isdecimal() else wait
            if attempt + 1 >= (tries if self._answered else FIRST_TRIES):
                break
            time.sleep(wait)
        raise IndexFileError(
            f"{self.place.base} can't be reached: {problem}", hint="check that it runs"
        )

    def _send(
        self, method: str, url: str, content: bytes | None, kind: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        """(status, headers, body) of the response. Raises IndexFileError beyond LONGEST_ANSWER."""
        data = bytearray()
        headers = {"Content-Type": kind} if content is not None else {}
        with self._client.stream(method, url, content=content, headers=headers) as answer:
            for part in answer.iter_bytes():
                data += part
                if len(data) > LONGEST_ANSWER:
                    raise IndexFileError(f"{self.place.base} sent an answer that is too large")
        self._answered = True
        return int(answer.status_code), answer.headers, bytes(data)

    def _read(
        self,
        status: int,
        headers: Mapping[str, str],
        data: bytes,
        accept: tuple[int, ...],
        method: str,
        path: str,
    ) -> Any:
        base = self.place.base
        self._is_known = self._is_known or status < 300 or status == 404
        if 300 <= status < 400:  # not followed: texts and the key are only sent to the user's URL
            raise EngineError(
                f"{base} redirects to {headers.get('location', 'elsewhere')} ({status})",
                status=status,
                hint="if that is right, use that URL",
            )
        if status == 403 and self._is_known and not _is_blocked(data):
            raise self._forbidden(path if _reads(method, path) else "")
        if status in (401, 403) and not _is_blocked(data):
            raise EngineError(
                f"{base} rejected the user or the key ({status})",
                status=status,
                hint=f"put USER:PASSWORD or an API key into {keys.INDEX_VARIABLE}",
            )
        try:
            answer = json.loads(data) if data else {}
        except (ValueError, RecursionError) as error:
            raise EngineError(
                f"{base} did not answer with JSON ({status})",
                status=status,
                hint="check the URL, and whether there is a proxy in between",
            ) from error
        if status >= 400 and status not in accept:
            raise self.refused(status, answer.get("error") if isinstance(answer, dict) else None)
        return answer

    def _forbidden(self, path: str = "") -> ForbiddenError:
        """The exception when a right is lacking: to read path, or else to write."""
        what = f"not use {path} of {self.place.base}" if path else f"only read {self.place}"
        return ForbiddenError(
            f"this account may {what} (403)",
            status=403,
            hint=f"put the key of one with more rights into {keys.INDEX_VARIABLE}",
        )

    def refused(self, status: int, error: Any) -> IndexFileError:
        """The exception for an engine's error; error: the object in its response."""
        error = error if isinstance(error, dict) else {"reason": str(error or "")}
        kind, reason = str(error.get("type", "")), _short(str(error.get("reason", "")))
        place = self.place
        if kind == "security_exception":
            return self._forbidden()
        if kind == "index_not_found_exception":
            return NoIndexError(f"there is no index at {place}", hint="make one with qrank init")
        if kind == "cluster_block_exception":
            if "disk" in reason or "flood" in reason or "read-only-allow-delete" in reason:
                return EngineError(
                    f"a disk of {place.base} is too full, so that {place.name} is read-only",
                    status=status,
                    kind=kind,
                    hint="give it more room, then run this again",
                )
            return EngineError(f"{place} can't be written now: {reason}", status=status, kind=kind)
        if status == 503 or (kind == "search_phase_execution_exception" and "shard" in reason):
            return EngineError(
                f"a part of {place} is not available now: {reason or kind}",
                status=status,
                kind=kind,
                hint="check that all its nodes run",
            )
        return EngineError(f"{place} answers {status}: {reason or kind}", status=status, kind=kind)


def _reads(method: str, path: str) -> bool:
    """Whether a request changes nothing."""
    return method == "GET" or path.rpartition("/")[2] in (
        *("_search", "_count", "point_in_time", "_pit"),
    )


def _authorities() -> ssl.SSLContext:
    """The TLS context with the system's certificate authorities, and those in SSL_CERT_FILE. Raises
    IndexFileError when that can't be used, which Python ignores."""
    context = ssl.create_default_context()
    if file := os.environ.get(AUTHORITIES):
        try:
            context.load_verify_locations(file)
        except OSError as error:
            raise IndexFileError(
                f"{AUTHORITIES} names {file}, which can't be used: {_short(str(error))}",
                hint="name a file of certificates in PEM",
            ) from error
    return context


def _headers(key: str | None) -> dict[str, str]:
    """The header for authentication: key is USER:PASSWORD, "SCHEME VALUE", or an API key."""
    if not key:
        return {}
    if " " in key:
        return {"Authorization": key}
    if ":" in key:
        from base64 import b64encode

        return {"Authorization": f"Basic {b64encode(key.encode()).decode()}"}
    return {"Authorization": f"ApiKey {key}"}


def _content(body: Any, lines: Lines | None) -> tuple[bytes | None, str]:
    if lines is not None:
        encode = json.JSONEncoder(ensure_ascii=False, default=_numbers).encode
        text = "".join(encode(line) + "\n" for line in lines)
        return text.encode("utf-8", "backslashreplace"), "application/x-ndjson"
    if body is None:
        return None, ""
    return json.dumps(body).encode(), "application/json"


def _numbers(vector: NDArray[np.float32]) -> list[float]:
    """A vector for JSON; converted late, as a list takes many times the memory."""
    numbers: list[float] = vector.astype(float).round(DECIMALS).tolist()
    return numbers


def _query(options: Options) -> str:
    values = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in options.items()
    }
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in values.items())


def _is_blocked(data: bytes) -> bool:
    return b"cluster_block_exception" in data and b"state not recovered" not in data


def _short(text: str) -> str:
    return " ".join(text.split())[:200]
