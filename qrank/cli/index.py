"""qrank index."""

from __future__ import annotations

from typing import Annotated

import typer

from qrank.cli.options import common
from qrank.errors import InputError


def index(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Folders and files.")],
    collection: Annotated[
        str | None, typer.Option(help="Put them into this collection. [default]")
    ] = None,
    embed_model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The embedding model. [auto]")
    ] = None,
    embed: Annotated[
        bool, typer.Option("--embed/--no-embed", help="Whether to make vectors, too.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Index folders and files, or update what is indexed.

    Only what changed since the last run is read and embedded; what is gone is removed. It can be
    interrupted at any time: the next run goes on from there.
    """
    from qrank import api
    from qrank.cli import emit, render

    if not all(paths):
        raise InputError("a path is empty", hint="name a folder or file; . is this folder")
    index_file = api.Index(common.db, embed_model=embed_model, placement=common.placement)
    with index_file as target, render.progress() as progress:
        report = target.add(paths, collection=collection, embed=embed, progress=progress)
    render.problems(report)
    if as_json:
        emit.index_report(report)
    else:
        render.index_report(report, target.path)
    if report.replaced:
        render.warn(f"{report.model} took the place of {', '.join(report.replaced)}")
    if report.embedded:
        render.hint_at_better_models(report.model)
    held = report.added + report.updated + report.unchanged + report.removed
    if not held and (report.failed or report.skipped):
        raise typer.Exit(2)
