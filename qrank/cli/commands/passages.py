"""qrank get and qrank open."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from qrank import json_form
from qrank.cli.options import AsJson
from qrank.cli.state import current
from qrank.errors import InputError
from qrank.names import shown_path


def get(
    ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="Ids of chunks; - reads them from stdin.")
    ],
    as_json: AsJson = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object per chunk.")
    ] = False,
) -> None:
    """Print chunks by their ids.

    The id of a search result is in its JSON; --format '{id}' prints it.
    """
    from qrank.cli.output import json_output, render

    if as_json and as_jsonl:
        raise InputError("--json and --jsonl can't be combined", hint="choose one")
    wanted = [
        word
        for i in ids
        for word in (sys.stdin.read().removeprefix("\ufeff").split() if i == "-" else [i])
    ]
    with current().open_index() as index:
        found = [index.get(i) for i in wanted]
    if as_json:
        json_output.document(json_form.indexed_chunks(found))
    elif as_jsonl:
        for chunk in found:
            json_output.line(json_form.indexed_chunk(chunk))
    else:
        render.passages(found)


def open_(
    place: Annotated[
        str,
        typer.Argument(metavar="ID|PATH[:LINE]", help="The id of a result, or a place."),
    ],
) -> None:
    """Open a chunk in $VISUAL or $EDITOR, at its line.

    Without a terminal to edit on, the place is printed.
    """
    from qrank.cli.output import json_output, render
    from qrank.cli.shell import editor

    run = current()
    found = editor.place(place, run)
    if not sys.stdout.isatty():
        path = render.short_path(shown_path(str(found.path)))
        json_output.path(path, f":{found.within}\n")
        return
    raise typer.Exit(editor.edit(found, run.environment))
