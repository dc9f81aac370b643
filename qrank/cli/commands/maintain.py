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
        typer.Argument(metavar="[PATH...]", help="Files and folders, including deleted ones."),
    ] = None,
    collection: Annotated[
        list[str] | None,
        typer.Option(help="Only from this collection; without PATH all of it (may be repeated)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Remove files and folders, or whole collections, from the index. No file is touched."""
    from qrank.cli.output import json_output
    from qrank.cli.output.render import plural, report

    if not paths and not collection:
        raise InputError("nothing to remove was named", hint="give a PATH, or --collection NAME")
    with current().open_index() as index:
        removed = index.remove(paths or (), collections=collection or ())
        chunks = index.status()["chunks"]
    if as_json:
        json_output.document(json_form.removal(removed, chunks))
    else:
        report(f"{plural(removed, 'file')} removed; {plural(chunks, 'chunk')} in the index")


def vacuum(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Reclaim unused space in the index file.

    Needs as much free disk space as the file takes. Searches continue meanwhile; runs that write
    wait.
    """
    from qrank.cli.output import json_output, render

    with current().open_index() as index:
        before = index.status()["bytes"]
        index.vacuum()
        after = index.status()["bytes"]
    if as_json:
        json_output.document(json_form.vacuum(before, after))
    else:
        render.report(f"{render.size(before)} -> {render.size(after)}")
