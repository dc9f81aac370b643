"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from qrank.errors import IndexFileError, ModelError, QrankError

if TYPE_CHECKING:
    from starlette.responses import Response


class ProblemError(Exception):
    """An error with its HTTP status."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def response(status: int, detail: str) -> Response:
    """A problem document."""
    from starlette.responses import JSONResponse

    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status in (408, 413):
        headers["Connection"] = "close"  # the rest of the body is not read
    return JSONResponse(
        {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
        },
        status,
        headers,
        media_type="application/problem+json",
    )


def status_of(error: Exception, *, named: bool) -> int:
    """The HTTP status for an error. named: whether the request names the model: then a model that
    is missing is the client's error."""
    if isinstance(error, ModelError) and not named:
        return 503
    if isinstance(error, IndexFileError | ModelError):
        return 404
    return 400 if isinstance(error, QrankError | ValueError) else 500
