"""The web page: its files, opening it with a one-time code, and images of PDF pages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from qrank import standalone
from qrank.agents.deadline import Cancellable
from qrank.errors import QrankError
from qrank.web import schemas
from qrank.web.access import COOKIE, SESSION_SECONDS, Access
from qrank.web.answers import Answers
from qrank.web.problems import ProblemError

FOLDER = Path(__file__).with_name("page")
FILES = {"page.js": "text/javascript", "page.css": "text/css", "icon.svg": "image/svg+xml"}
DRAW_SECONDS = 30
CLOSED = """\
<!doctype html><html lang="en"><meta charset="utf-8"><title>qrank</title>
<h1>This page is closed</h1><p>Open it with: <code>qrank serve --open</code></p></html>
"""


def routes(
    access: Access,
    answers: Answers,
    answering: Callable[[Any], Any],
    work: Callable[[Request, Callable[[Cancellable], Any]], Any],
) -> list[BaseRoute]:
    """The page's routes. answering: wraps endpoints so that errors become problem documents; work:
    runs a function in a thread."""

    async def page(request: Request) -> Response:
        if access.has_session(request.cookies.get(COOKIE, "")):
            if request.url.query:  # so that the code is not in the browser's history
                return RedirectResponse("/", 303)
            return HTMLResponse((FOLDER / "index.html").read_text("utf-8"))
        if not access.use_code(request.query_params.get("code", "")):
            return HTMLResponse(CLOSED, 401)
        response = RedirectResponse("/", 303)
        response.set_cookie(
            COOKIE,
            access.new_session(),
            max_age=SESSION_SECONDS,
            path="/",
            httponly=True,
            samesite="strict",
        )
        return response

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in FILES:
            raise ProblemError(404, "there is nothing at this address")
        return Response((FOLDER / name).read_text("utf-8"), media_type=FILES[name])

    async def code(_request: Request) -> Response:
        return JSONResponse({"code": access.new_code()})

    async def formats(_request: Request) -> Response:
        return JSONResponse(list(standalone.formats()))

    async def picture(request: Request) -> Response:
        parameters = request.query_params
        number = parameters.get("page", "")
        if not number.isdecimal() or len(number) > 6 or "id" not in parameters:
            raise ProblemError(400, "give the id of a chunk, and the number of a page")
        if "db" in parameters:
            schemas.check(parameters["db"], schemas.DB, "db")
        png = await work(
            request, partial(draw, answers, parameters.get("db"), parameters["id"], int(number))
        )
        return Response(png, media_type="image/png")

    return [
        Route("/", answering(page), methods=["GET"]),
        Route("/page/formats", answering(formats), methods=["GET"]),
        Route("/page/picture", answering(picture), methods=["GET"]),
        Route("/page/{name}", answering(file), methods=["GET"]),
        Route("/v1/open", answering(code), methods=["POST"]),
    ]


def draw(answers: Answers, db: str | None, chunk: str, page: int, progress: Cancellable) -> bytes:
    """Draw a page, counted from 1, of a chunk's PDF, as PNG. Raises ProblemError (404).

    Only files whose content has not changed since indexing are drawn, so that no other data can be
    read this way. The PDF is parsed in its own process, because a malicious one may crash it.
    """
    with answers.index(db) as index:
        try:
            data = index.indexed_content(chunk)
        except QrankError as error:
            raise ProblemError(404, str(error)) from error
    try:
        process = subprocess.run(
            [sys.executable, "-P", "-m", "qrank.web.picture", str(page)],
            input=data,
            capture_output=True,
            timeout=DRAW_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProblemError(404, "the page takes too long to draw") from None
    if process.returncode or not process.stdout:
        raise ProblemError(404, "the file has no such page that can be drawn")
    return process.stdout
