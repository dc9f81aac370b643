"""qrank collections."""

from __future__ import annotations

from typing import Annotated

import typer

from qrank import json_form
from qrank.cli.options import Command, Group
from qrank.cli.shell import complete
from qrank.cli.state import current
from qrank.errors import InputError

app = typer.Typer(cls=Group, invoke_without_command=True, rich_markup_mode=None)
KEYS = ("description",)


@app.callback()
def collections(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the collections of the index, what they are about, and the folders they are made of.

    qrank index without PATH brings all of them up to date.
    """
    if context.invoked_subcommand:
        return
    from qrank.cli.output import json_output, render

    with current().open_index() as index:
        found = index.collections()
    if as_json:
        json_output.document(json_form.collections(found))
    else:
        render.collections(found)
    raise typer.Exit(0 if found else 1)


@app.command("set", cls=Command)
def set_(
    name: Annotated[str, typer.Argument(help="A collection.", autocompletion=complete.collections)],
    key: Annotated[str, typer.Argument(metavar="KEY", help="What to set: description.")],
    value: Annotated[str, typer.Argument(help="Its value; empty removes it.")],
) -> None:
    """Set what a collection is about. qrank status shows it, and agents see it over MCP."""
    from qrank.cli.output import render

    if key not in KEYS:
        raise InputError(f"a collection has no {key!r}", hint=f"it has: {', '.join(KEYS)}")
    with current().open_index() as index:
        index.describe(name, value)
    render.report(f"{name}: {key} {'set' if value.strip() else 'removed'}")
