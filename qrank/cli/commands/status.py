"""qrank status and qrank init."""

from __future__ import annotations

from typing import Annotated

import typer

from qrank import json_form
from qrank.cli.state import current


def status(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH", help="Show whether this file or folder is indexed, and why not."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    clear_cache: Annotated[
        bool,
        typer.Option("--clear-cache", help="First delete the cached scores and query vectors."),
    ] = False,
) -> None:
    """Show which index is used here, and what is in it.

    With PATH: when a file was indexed and as what, or why it was not: an ignore rule, its size, its
    type or an error. For a folder: how many files, by reason.
    """
    from qrank.cli.input import file_options
    from qrank.cli.output import json_output, path_status, render

    with current().open_index() as index:
        if clear_cache:
            index.clear_cache()
        if path is not None:
            of_path = index.path_status(path, walking=file_options.walking())
            if as_json:
                json_output.document(json_form.path_status(of_path))
            else:
                path_status.show(of_path)
            return
        contents = index.status()
    if as_json:
        json_output.document(contents)
    else:
        render.status(contents)


def init(
    shards: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="With --db URL: how many shards.")
    ] = None,
    replicas: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="With --db URL: how many copies of each shard."),
    ] = None,
) -> None:
    """Create an index for this folder.

    It is .qrank/index.db, used in this folder and all folders below it. With --db, QRANK_DB or the
    setting db that index is created instead: a file, or an index of a search engine by its URL.
    """
    from qrank import api, config, settings
    from qrank.cli.output import render

    run = current()
    is_set = run.db is not None or "db" in run.settings.values
    folder = run.require_folder() / config.PROJECT_FOLDER
    path = run.settings.index_path(run.db).absolute() if is_set else folder / settings.INDEX_NAME
    created = api.Index(path).create(shards=shards, replicas=replicas)
    ignore = folder / ".gitignore"
    if not is_set and not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    render.report(f"{'Created' if created else 'Already exists:'} {path}")
