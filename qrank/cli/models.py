"""qrank models."""

from __future__ import annotations

from typing import Annotated

import typer

from qrank.cli.options import Command

app = typer.Typer(help="The models qrank knows.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _models() -> None:
    """The models qrank knows."""


@app.command("list", cls=Command)
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the models that have a name, and which of them are installed."""
    from qrank.cli import emit, render
    from qrank.models.registry import entries, models_folder

    known = [
        {
            "alias": entry.alias,
            "kind": entry.role.value,
            "installed": entry.installed,
            "bytes": entry.path.stat().st_size if entry.installed else None,
            "source": entry.source,
            "path": str(entry.path),
        }
        for entry in entries()
    ]
    if as_json:
        emit.document(known)
    else:
        render.models(known, models_folder())
