"""qrank remove and qrank vacuum."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qrank import json_form
from qrank.cli.state import current
from qrank.errors import InputError


def remove(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH...]", help="Files and folders, also such that are gone."),
    ] = None,
    collection: Annotated[
        list[str] | None,
        typer.Option(help="Of this collection only; without PATH all of it (may be repeated)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Take files and folders, or whole collections, out of the index. No file is touched."""
    from qrank.cli.output import json_output

    if not paths and not collection:
        raise InputError("say what to remove", hint="a PATH, or --collection NAME for all of it")
    with current().open_index() as index:
        removed = index.remove(paths or (), collections=collection or ())
        chunks = index.status()["chunks"]
    if as_json:
        json_output.document(json_form.removal(removed, chunks))
    else:
        print(f"{removed} files removed; {chunks} passages in the index")


def vacuum(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make the index file as small as what it holds.

    Needs as much free room as the file takes. Searches go on meanwhile, other runs wait.
    """
    from qrank.cli.output import json_output, render

    with current().open_index() as index:
        before = index.status()["bytes"]
        index.vacuum()
        after = index.status()["bytes"]
    if as_json:
        json_output.document(json_form.vacuum(before, after))
    else:
        print(f"{render.size(before)} -> {render.size(after)}")
