"""qrank search and qrank similar."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qrank import json_form
from qrank.cli import deadline as deadlines
from qrank.cli import last_search
from qrank.cli.input.records import Format as InputFormat
from qrank.cli.options import (
    MOST,
    MOST_SECONDS,
    Around,
    AsCsv,
    AsJson,
    AsJsonl,
    Collections,
    Copies,
    Count,
    Deadline,
    EmbedModel,
    Exact,
    Explain,
    Fields,
    Format,
    Full,
    Hyperlinks,
    Limit,
    LinkedFrom,
    LinksTo,
    Literal,
    MaxTokens,
    MinScore,
    Null,
    Offset,
    PathGlob,
    PathsOnly,
    PerFile,
    Regex,
    RerankModel,
    Since,
    SortBy,
    StaleOption,
    Types,
    Until,
    Where,
    number,
)
from qrank.cli.output import forms
from qrank.cli.output.forms import Form
from qrank.cli.output.terminal import animates
from qrank.cli.state import current
from qrank.errors import InputError, QueryError
from qrank.results import Mode, Stale

if TYPE_CHECKING:
    from collections.abc import Callable

    from qrank.api import Index
    from qrank.indexes import Indexes
    from qrank.progress import Progress
    from qrank.results import Answer

LIMIT, CANDIDATES = 10, 30
REFRESH_SECONDS = 0.5  # of --refresh, at most
MOST_COUNTED = 100  # results of --count, with vectors: then every chunk is a result


def search(
    query: Annotated[
        str | None,
        typer.Argument(metavar="[QUERY]", help="What to look for; - reads it from stdin."),
    ] = None,
    more: Annotated[
        list[str] | None,
        typer.Option(
            "-e",
            "--query",
            metavar="QUERY",
            help="A query; may be repeated, to search for several at once.",
        ),
    ] = None,
    interactive: Annotated[
        bool, typer.Option("-i", "--interactive", help="Search as you type, like qrank tui.")
    ] = False,
    limit: Limit = None,
    offset: Offset = 0,
    sort: SortBy = None,
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="Find candidates by words (bm25), by meaning (vector) or both. [default: hybrid]"
        ),
    ] = None,
    rerank: Annotated[
        bool | None,
        typer.Option(
            "--rerank/--no-rerank", help="Whether to rerank. [default: yes in hybrid mode]"
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            metavar="N",
            help="Rerank the best N. [default: 30; on a terminal as many as the setting"
            " answer_seconds allows]",
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            parser=number("--budget", 0, MOST_SECONDS),
            metavar="SECONDS",
            help="Stop reranking after this time.",
        ),
    ] = None,
    deadline: Deadline = None,
    collection: Collections = None,
    path: PathGlob = None,
    where: Where = None,
    links_to: LinksTo = None,
    linked_from: LinkedFrom = None,
    regex: Regex = None,
    literal: Literal = None,
    types: Types = None,
    since: Since = None,
    until: Until = None,
    per_file: PerFile = None,
    copies: Copies = False,
    exact: Exact = False,
    min_score: MinScore = None,
    refresh: Annotated[
        bool | None,
        typer.Option(
            "--refresh/--no-refresh",
            help="First read changed files again, for at most half a second. [default: the setting"
            " refresh]",
        ),
    ] = None,
    stale: StaleOption = Stale.warn,
    around: Around = None,
    full: Full = False,
    explain: Explain = False,
    hyperlink_format: Hyperlinks = None,
    as_json: AsJson = False,
    as_jsonl: AsJsonl = False,
    as_csv: AsCsv = False,
    paths_only: PathsOnly = False,
    null: Null = False,
    count: Count = False,
    template: Format = None,
    fields: Fields = None,
    max_tokens: MaxTokens = None,
    queries: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Run the queries in FILE (lines or JSONL); print JSONL."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT", help="With --queries: append the answers that OUT lacks to it."
        ),
    ] = None,
    form: Annotated[
        InputFormat | None,
        typer.Option("--input", help="The format of FILE. [default: detected]"),
    ] = None,
    embed_model: EmbedModel = None,
    rerank_model: RerankModel = None,
) -> None:
    """Find the chunks that answer QUERY, best first.

    \b
    "several words"  chunks with this phrase
    -word            chunks without this word
    title:word       the word is in the title, a heading or the file name
    field:value      a field has this value, such as tag:travel or ext:pdf

    Exit status: 0 something was found, 1 nothing was found, 2 an error.
    """

    presets = current().settings
    mode = Mode(presets.choice("mode", mode))
    preset = presets.get("candidates", None if candidates is None else str(candidates))
    candidates = presets.count("candidates", candidates, CANDIDATES)
    budget = presets.seconds("budget", budget)
    output = forms.output(
        as_json=as_json,
        as_jsonl=as_jsonl,
        as_csv=as_csv,
        paths_only=paths_only,
        null=null,
        count=count,
        template=template,
        fields=fields,
        max_tokens=max_tokens,
        around=around,
        full=full,
        explain=explain,
        hyperlinks=hyperlink_format,
    )
    lists = query is None and not more
    lists = lists and bool(regex or literal or where or links_to or linked_from)
    if lists and (regex or literal):
        limit = limit or MOST
    if limit is None and mode is not Mode.bm25:
        output = output._replace(counted=_limit(output, mode, candidates))
    on_terminal = output.form is Form.people and not output.max_tokens and sys.stdout.isatty()
    seconds = None
    if on_terminal and not queries and preset is None and budget is None and deadline is None:
        seconds = presets.answer_seconds
    if deadline is not None and (queries is not None or interactive):
        raise InputError("--deadline is for one search: leave out --queries and -i")
    most_results = limit or _limit(output, mode, candidates)
    models = {"embed_model": embed_model, "rerank_model": rerank_model}
    with ExitStack() as opened:
        index = current().open_indexes(**models)
        opened.enter_context(index)

        def search_index(
            text: str | list[str],
            progress: Progress | None,
            mode: Mode = mode,
            rerank: bool | None = rerank,
            budget: float | None = budget,
        ) -> Answer:
            return index.search(
                text,
                mode=mode,
                limit=most_results,
                rerank=rerank,
                candidates=candidates,
                budget=budget,
                answer_seconds=seconds,
                min_score=min_score,
                per_file=output.per_file or per_file,
                copies=copies or output.form in (Form.paths, Form.count),
                correct=on_terminal and not exact,
                stale=stale,
                progress=progress,
                collections=collection or (),
                path=path or (),
                where=where or (),
                links_to=links_to,
                linked_from=linked_from,
                regex=regex or (),
                literal=literal or (),
                offset=offset,
                sort=sort,
                types=types or (),
                since=since,
                until=until,
            )

        def run(text: str | list[str]) -> Answer:
            from qrank.cli.output import text_output

            if not (on_terminal and animates() and isinstance(text, str)):
                with render.stages() as progress:
                    return search_index(text, progress)
            from qrank.cli.output.spinner import Spinner

            with Spinner(partial(text_output.draft, view=output.view)) as preview:
                try:
                    return search_index(text, preview)
                except KeyboardInterrupt:
                    if preview.latest is None:
                        raise
            _print(output, preview.latest, index)
            raise KeyboardInterrupt(
                f"interrupted after {render.plural(preview.latest.reranked, 'reranked candidate')}"
            )

        from qrank.cli.output import render

        stale_notices = _refresh(index, refresh, deadline, vectors=not lists and mode != Mode.bm25)
        if interactive:
            from qrank.cli.commands.tui import start

            start(current().open_index(**models), query or "", collection or (), path or ())
            return
        whole = True
        if resume is not None and queries is None:
            raise InputError("--resume needs --queries FILE")
        if queries is not None:
            if query is not None or more:
                raise InputError("give one QUERY, or --queries FILE, not both")
            if output.form not in (Form.people, Form.jsonl) or output.max_tokens:
                raise InputError(
                    "--queries prints JSONL and can't be combined with another output format"
                )
            for notice in stale_notices:
                render.warning(notice)
            any_found = _run_all(queries, form, resume, output.fields, run)
        else:
            text = "" if lists else _query(query, more)
            typed = text if isinstance(text, str) else "\n".join(text)
            if deadline is None:
                answer = run(text)
            else:
                answer, whole = _within(deadline, partial(search_index, text), mode, budget, typed)
            answer.notices += stale_notices
            if answer.query != typed:
                render.warning(f"showing results for {answer.query!r}; --exact for only {typed!r}")
            any_found = _print(output, answer, index)
            if not whole:
                opened.pop_all()  # closing would wait for the search's thread
                if current().opened is None:
                    deadlines.end(0 if any_found else 1)
    raise typer.Exit(0 if any_found else 1)


def similar(
    place: Annotated[
        str,
        typer.Argument(
            metavar="PLACE",
            help="A file, PATH:LINE, an id, or the number of a result of the last search.",
        ),
    ],
    limit: Limit = None,
    mode: Annotated[
        Mode, typer.Option(help="Compare vectors, or keywords (bm25).", metavar="vector|bm25")
    ] = Mode.vector,
    collection: Collections = None,
    path: PathGlob = None,
    where: Where = None,
    per_file: PerFile = None,
    min_score: MinScore = None,
    stale: StaleOption = Stale.warn,
    around: Around = None,
    full: Full = False,
    hyperlink_format: Hyperlinks = None,
    as_json: AsJson = False,
    as_jsonl: AsJsonl = False,
    as_csv: AsCsv = False,
    paths_only: PathsOnly = False,
    null: Null = False,
    template: Format = None,
    fields: Fields = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Find the chunks most similar to a file, or to a line of it.

    With PATH:LINE the chunk at that line is compared. The file must be in the index: its stored
    vectors are compared, no model runs.
    """

    output = forms.output(
        as_json=as_json,
        as_jsonl=as_jsonl,
        as_csv=as_csv,
        paths_only=paths_only,
        null=null,
        template=template,
        fields=fields,
        max_tokens=max_tokens,
        around=around,
        full=full,
        hyperlinks=hyperlink_format,
    )
    if mode is Mode.hybrid:
        raise InputError("--mode hybrid needs a query", hint="use vector or bm25")
    place = last_search.resolve(place, current())
    with current().open_index() as index:
        answer = index.similar(
            place,
            mode=mode,
            limit=current().settings.count("limit", limit, LIMIT),
            collections=collection or (),
            path=path or (),
            where=where or (),
            min_score=min_score,
            per_file=output.per_file or per_file,
            stale=stale,
        )
        any_found = _print(output, answer, index)
    raise typer.Exit(0 if any_found else 1)


def _refresh(
    index: Index | Indexes, flag: bool | None, deadline: float | None, *, vectors: bool
) -> list[str]:
    """Update changed files if asked to; returns notices on what may still be stale."""
    from qrank.cli.input import file_options

    limit = current().settings.seconds("refresh", None) or 0.0
    if flag is False or not (flag or limit):
        return []
    limit = limit or REFRESH_SECONDS
    return index.refresh(
        limit if deadline is None else min(limit, deadline / 4),
        vectors=vectors,
        walking=file_options.walking(),
    )


def _limit(output: forms.Output, mode: Mode, candidates: int) -> int:
    """The default of --limit for an output."""
    if output.max_tokens is not None:
        return candidates
    if output.form is Form.count:
        return MOST if mode is Mode.bm25 else max(MOST_COUNTED, candidates)
    return current().settings.count("limit", None, LIMIT)


def _query(query: str | None, more: list[str] | None) -> str | list[str]:
    if query is not None and more:
        raise InputError("give one QUERY, or several with -e, not both")
    if more:
        return more[0] if len(more) == 1 else more
    if query is None:
        raise InputError("give one QUERY, or --queries FILE", hint="see qrank search --help")
    return sys.stdin.buffer.read().decode("utf-8-sig", "replace") if query == "-" else query


def _within(
    seconds: float, search: Callable[..., Answer], mode: Mode, budget: float | None, typed: str
) -> tuple[Answer, bool]:
    """(the best answer within so many seconds from the command's start, whether the search has
    finished)."""
    left = deadlines.left(seconds, current().started)
    answer, whole = deadlines.within(
        left,
        partial(search, None, mode=Mode.bm25, rerank=False),
        lambda best: search(best, budget=left if budget is None else min(left, budget)),
    )
    if answer is None:
        from qrank.results import Answer

        answer = Answer(typed, mode, {"embed": None, "rerank": None}, [], truncated=True)
        answer.notices.append("nothing was found before the deadline")
    elif not whole and answer.mode != mode:
        answer.notices.append("by keywords alone: the models did not answer before the deadline")
    return answer, whole


def _print(output: forms.Output, answer: Answer, index: Index | Indexes) -> bool:
    """Print an answer and its notices; returns whether there were results to print."""
    from qrank.cli.output import render

    last_search.store(answer.results, index.path)
    shown = bool(answer.results)
    if not (current().quiet and output.form is Form.people and output.max_tokens is None):
        shown = output.show(answer, index)
    if current().quiet:
        return shown
    if answer.notices:
        render.warning("; ".join(answer.notices))
    elif output.form is Form.people and sys.stdout.isatty() and sys.stderr.isatty():
        render.notice(index.far_off(answer))
    return shown


def _run_all(
    file: Path,
    form: InputFormat | None,
    resume: Path | None,
    fields: tuple[str, ...],
    run: Callable[[str], Answer],
) -> bool:
    """Answer each query of a file, one line of JSON each; returns whether any had results."""
    from qrank.cli.input import records
    from qrank.cli.output import batch, render

    any_found = False
    with batch.output(resume) as (done, write):
        for item in records.queries(file, form):
            key = batch.key(item.fields | {"query": item.text})
            if done[key]:
                done[key] -= 1
                any_found = True
                continue
            try:
                answer = run(item.text)
            except QueryError as error:  # the other queries are still answered
                render.warning(f"{file}, line {item.number}: skipped: {error.what}")
                continue
            write(item.fields | json_form.answer(answer, fields))
            any_found = any_found or bool(answer.results)
    return any_found
