"""qrank get and qrank open."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from qrank import json_form
from qrank.cli import last_search
from qrank.cli.options import MOST, AsJson, MaxTokens
from qrank.cli.state import current
from qrank.errors import InputError
from qrank.names import shown_path
from qrank.results import IndexedChunk


def get(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="PLACE...",
            help="Ids of chunks, numbers of results of the last search, PATH, PATH:FROM-TO,"
            " PATH#page=N, globs; - reads them from stdin.",
        ),
    ],
    around: Annotated[
        int,
        typer.Option("--around", min=0, max=MOST, metavar="N", help="Print N more lines around."),
    ] = 0,
    max_tokens: MaxTokens = None,
    as_json: AsJson = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object per chunk.")
    ] = False,
) -> None:
    """Print chunks, or some lines of files, as they were indexed.

    The id of a search result is in its JSON; --format '{id}' prints it. 1 is the first result of
    the last search in this terminal. In JSON each has a hash, for qrank verify.
    """
    from qrank.cli.output import json_output, render

    if as_json and as_jsonl:
        raise InputError("--json and --jsonl can't be combined", hint="choose one")
    run = current()
    places = [
        word
        for place in places
        for word in (_words_of_stdin() if place == "-" else [last_search.resolve(place, run)])
    ]
    with run.open_index() as index:
        groups = [index.at(place, around=around) for place in places]
    if max_tokens is not None:
        groups = _fitting(groups, max_tokens)
    chunks = [chunk for each in groups for chunk in each]
    if as_json:
        json_output.document(json_form.indexed_chunks(chunks))
    elif as_jsonl:
        for chunk in chunks:
            json_output.line(json_form.indexed_chunk(chunk))
    else:
        render.chunks(groups)


def _words_of_stdin() -> list[str]:
    """The places on stdin: one per line, or several ids per line."""
    lines = sys.stdin.read().removeprefix("\ufeff").splitlines()
    return [
        word
        for line in lines
        if line.strip()
        for word in ([line.strip()] if any(c in line for c in "/:.*#") else line.split())
    ]


def _fitting(groups: list[list[IndexedChunk]], most: int) -> list[list[IndexedChunk]]:
    """The chunks, in order, that fit into so many tokens; the others are skipped with a
    warning."""
    from qrank import standalone
    from qrank.cli.output import render

    left = most
    fitting: list[list[IndexedChunk]] = []
    skipped = 0
    for each in groups:
        fitting.append([])
        for chunk in each:
            left -= standalone.tokens(chunk.text)
            if left >= 0:
                fitting[-1].append(chunk)
            else:
                skipped += 1
    if skipped:
        render.warning(f"skipped, over --max-tokens {most}: {render.plural(skipped, 'chunk')}")
    return [each for each in fitting if each]


def open_(
    place: Annotated[
        str,
        typer.Argument(
            metavar="PLACE",
            help="The number of a result of the last search, its id, PATH[:LINE] or PATH#page=N.",
        ),
    ],
) -> None:
    """Open a chunk in $VISUAL or $EDITOR, at its line.

    Files that are not text open in the system's viewer. An editor command may contain {path},
    {line}, {column} and {page}; they are filled in. Without a terminal, only the place is printed.
    For a file within a file (in an archive, a mailbox, a PDF), or a PDF without a viewer, the
    editor opens a temporary copy of the indexed text.
    """
    from qrank.cli.output import json_output, render
    from qrank.cli.shell import editor

    run = current()
    place_in_file = editor.place(last_search.resolve(place, run), run)
    if not sys.stdout.isatty():
        path = render.short_path(shown_path(str(place_in_file.path)))
        json_output.path(path, f":{place_in_file.within}\n")
        return
    raise typer.Exit(editor.edit(place_in_file, run))
