"""qrank search."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qrank.cli.inputs import Format
from qrank.cli.options import common
from qrank.errors import InputError
from qrank.results import Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from qrank.results import Answer

MOST = 1_000_000  # results or candidates that may be asked for
DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
PASSAGES_A_FILE = 10  # -l looks at so many passages for each file it may print


def search(
    query: Annotated[
        str | None, typer.Argument(help="What to look for; - reads it from stdin.")
    ] = None,
    limit: Annotated[
        int, typer.Option("-n", "--limit", min=1, max=MOST, help="Show at most this many.")
    ] = 10,
    mode: Annotated[Mode, typer.Option(help="How candidates are found.")] = Mode.hybrid,
    rerank: Annotated[
        bool | None,
        typer.Option("--rerank/--no-rerank", help="Let the reranker order them. [hybrid: yes]"),
    ] = None,
    candidates: Annotated[int, typer.Option(min=1, max=MOST, help="How many are reranked.")] = 30,
    budget: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Stop reranking after this.")
    ] = None,
    collection: Annotated[
        list[str] | None, typer.Option(help="Only this collection (may be repeated).")
    ] = None,
    path: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Only files whose path matches.")
    ] = None,
    suffix: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="EXT", help="Only files ending so: md (may be repeated)."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=DATES, metavar="DATE", help="Only files changed then or later."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=DATES, metavar="DATE", help="Only files changed before then."),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(metavar="S", help="Leave out results below this score.")
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='Run many: lines, or JSONL with "query"; prints JSONL.'),
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--input", help="What FILE holds. [seen from its first line]")
    ] = None,
    embed_model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The embedding model. [the index's]")
    ] = None,
    rerank_model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The reranker. [auto]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print a JSON object a result.")
    ] = False,
    paths_only: Annotated[
        bool, typer.Option("-l", "--files-with-matches", help="Print the files' paths only.")
    ] = False,
    null: Annotated[
        bool, typer.Option("-0", "--null", help="As -l, each path ended by a NUL byte.")
    ] = False,
) -> None:
    """Find the passages that answer QUERY, best first.

    "In quotation marks": these words in this order. -word: not with this word. title:word: with it
    in the title, a heading or the file's name.

    Exit status: 0 something was found, 1 nothing was, 2 an error.
    """
    from qrank import api
    from qrank.cli import emit, render

    if (query is None) == (queries is None):
        raise InputError("give one QUERY, or --queries FILE", hint="see qrank search --help")
    if queries is not None and (as_json or paths_only or null):
        raise InputError("--queries prints JSONL: it can't go with --json, -l or -0")
    with api.Index(
        common.db,
        embed_model=embed_model,
        rerank_model=rerank_model,
        placement=common.placement,
    ) as index:

        def run(text: str) -> Answer:
            with render.spinner():
                return index.search(
                    text,
                    mode=mode,
                    limit=limit * PASSAGES_A_FILE if paths_only or null else limit,
                    rerank=rerank,
                    candidates=candidates,
                    budget=budget,
                    collections=collection or (),
                    path=path,
                    min_score=min_score,
                    suffixes=["." + end.lstrip(".") for end in suffix or ()],
                    since=since,
                    until=until,
                )

        if queries is not None:
            found = _run_all(queries, form, run)
        else:
            answer = run(
                sys.stdin.buffer.read().decode("utf-8", "replace") if query == "-" else str(query)
            )
            if null or paths_only:
                emit.paths(answer, limit, "\0" if null else "\n")
            elif as_json:
                emit.answer(answer)
            elif as_jsonl:
                emit.results(answer)
            else:
                render.answer(answer)
            found = bool(answer.results)
        if not found and not index.status()["chunks"]:
            render.warn("the index is empty; fill it with: qrank index PATH")
        elif mode is Mode.hybrid and not index.has_vectors():
            render.warn("the index has no vectors: words alone were compared (run qrank index)")
    raise typer.Exit(0 if found else 1)


def _run_all(file: Path, form: Format | None, run: Callable[[str], Answer]) -> bool:
    """Answer each query of a file; each answer is a line, written as it is known."""
    from qrank.cli import emit, inputs, render

    found = False
    for item in inputs.queries(file, form):
        if not item.text.strip():  # one empty query must not cost the others their answers
            render.warn(f"{file}: passed over an empty query {item.fields or ''}")
            continue
        answer = run(item.text)
        emit.answer_line(item.fields, answer)
        found = found or bool(answer.results)
    return found
