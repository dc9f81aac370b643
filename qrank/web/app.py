"""The HTTP application: its routes, and running requests in threads."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from qrank import json_form
from qrank.agents.deadline import Cancellable, CancelledError
from qrank.errors import QrankError
from qrank.web import pages, problems, schemas
from qrank.web.access import Access
from qrank.web.answers import Answers
from qrank.web.guard import Guard
from qrank.web.problems import ProblemError

QUICK, SLOW = 8, 32  # requests at a time: those that run no model, and the others
NO_MCP = 'MCP needs the package mcp; install it with: pip install "qrank[mcp]"'

log = logging.getLogger("qrank.serve")
Answer = Callable[[dict[str, Any], Cancellable], Any]
Mcp = tuple[list[BaseRoute], Callable[[], AbstractAsyncContextManager[None]]]


def make_app(
    answers: Answers, access: Access, names: frozenset[str], mcp: Mcp | None = None
) -> Guard:
    """Make the application. names: the host names of this server; mcp: routes for MCP, and the
    context manager that has to run meanwhile."""
    # Two limiters, so that keyword searches never wait for reranking.
    quick, slow = anyio.CapacityLimiter(QUICK), anyio.CapacityLimiter(SLOW)

    def post(path: str, schema: dict[str, Any], answer: Answer) -> Route:
        async def endpoint(request: Request) -> Response:
            body = await _json(request)
            schemas.check(body, schema)
            is_quick = body.get("mode") == "bm25" or path in ("/v1/get", "/v1/similar")
            result = await _work(request, partial(answer, body), quick if is_quick else slow)
            return Response(json_form.line(result), media_type="application/json")

        endpoint.__doc__ = answer.__doc__
        return Route(path, _answering(endpoint), methods=["POST"])

    async def status(request: Request) -> Response:
        parameters = dict(request.query_params)
        if parameters.keys() - {"db"}:
            raise ProblemError(400, "the only parameter is db")
        if "db" in parameters:
            schemas.check(parameters["db"], schemas.DB, "db")
        return JSONResponse(await _work(request, partial(answers.status, parameters), quick))

    async def health(_request: Request) -> Response:
        return JSONResponse({"ok": True})

    async def description(_request: Request) -> Response:
        return JSONResponse(schemas.openapi())

    routes: list[BaseRoute] = [
        Route("/healthz", _answering(health), methods=["GET"]),
        Route("/openapi.json", _answering(description), methods=["GET"]),
        Route("/v1/status", _answering(status), methods=["GET"]),
        post("/v1/search", schemas.SEARCH, answers.search),
        post("/v1/similar", schemas.SIMILAR, answers.similar),
        post("/v1/get", schemas.GET, answers.get),
        post("/v1/embeddings", schemas.EMBEDDINGS, answers.embeddings),
        post("/v1/rerank", schemas.RERANK, answers.rerank),
        *pages.routes(access, answers, _answering, partial(_work, limiter=quick)),
    ]
    session: Callable[[], Any] = nullcontext
    if mcp is None:

        async def missing(_request: Request) -> Response:
            return problems.response(501, NO_MCP)

        routes.append(Route("/mcp", missing, methods=["GET", "POST", "DELETE"]))
    else:
        mcp_routes, session = mcp
        routes += mcp_routes

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with session():
            yield

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_problem},
    )
    return Guard(app, access, names)


def _http_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {404: "there is nothing at this address", 405: "this method is not allowed here"}
    problem = problems.response(error.status_code, details.get(error.status_code, error.detail))
    problem.headers.update(error.headers or {})  # Allow
    return problem


def _answering(endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """Wrap an endpoint so that its errors become problem documents."""

    async def answer(request: Request) -> Response:
        try:
            response: Response = await endpoint(request)
            return response
        except ProblemError as error:
            return problems.response(error.status, str(error))
        except (ClientDisconnect, CancelledError):
            return Response(status_code=499)  # the client has gone
        except (QrankError, ValueError) as error:
            named = request.state._state.get("names_model", False)
            return problems.response(problems.status_of(error, named=named), str(error))
        except HTTPException:
            raise
        except Exception:
            log.exception("%s failed", request.url.path)
            return problems.response(500, "this should not have happened; the log says more")

    return answer


def _number(text: str) -> float:
    """Parse a number as JSON Schema does: 1.0 is an integer, too."""
    value = float(text)
    return int(value) if value.is_integer() else value


async def _json(request: Request) -> dict[str, Any]:
    """Parse a request's body, which has to be a JSON object. Raises ProblemError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # other types can be sent by any site without a CORS preflight
        raise ProblemError(415, "send JSON, as Content-Type: application/json")
    body = await request.body()
    try:
        value = json.loads(body, parse_float=_number)
    except (ValueError, RecursionError) as error:
        raise ProblemError(400, f"the body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ProblemError(400, "the body must be of type object")
    model_fields = ("model", "embed_model", "rerank_model", "dimensions", "instruction")
    request.state.names_model = any(name in value for name in model_fields)
    return value


async def _work(
    request: Request, call: Callable[[Cancellable], Any], limiter: anyio.CapacityLimiter
) -> Any:
    """Run a call in a thread and return its result; it is cancelled when the client disconnects or
    the request times out."""
    progress = Cancellable()

    async def watch() -> None:
        while not await request.is_disconnected():  # there is no event for it
            await asyncio.sleep(0.1)
        progress.cancel()

    watching = asyncio.create_task(watch())
    try:
        # A thread that is waiting for a model can't be cancelled, so it is abandoned.
        return await anyio.to_thread.run_sync(
            call, progress, limiter=limiter, abandon_on_cancel=True
        )
    finally:
        progress.cancel()
        watching.cancel()
