"""qrank fields."""

from __future__ import annotations

from typing import Annotated

import typer

from qrank import json_form
from qrank.arguments import FilterOptions
from qrank.cli.options import MOST, Collections, PathGlob, Since, Types, Until, Where
from qrank.cli.shell import complete
from qrank.cli.state import current


def fields(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="FIELD",
            help="Show the values of this field.",
            autocompletion=complete.fields,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("-n", "--limit", min=1, max=MOST, help="Show at most N values.")
    ] = 20,
    collection: Collections = None,
    path: PathGlob = None,
    where: Where = None,
    types: Types = None,
    since: Since = None,
    until: Until = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the fields of documents: front matter, mail headers, columns of tables.

    Each with the kinds of its values, how many documents (or rows, or messages) have it, and its
    most frequent values. qrank search --where asks for them; path, type, ext, size, mtime, title,
    collection and language can be asked for, too.
    """
    from qrank.cli.output import json_output, render

    filter: FilterOptions = {
        "collections": collection or (),
        "path": path or (),
        "where": where or (),
        "types": types or (),
        "since": since,
        "until": until,
    }
    with current().open_index() as index:
        if name is None:
            found = index.fields(**filter)
        else:
            found = [index.field_values(name, limit=limit, **filter)]
    if as_json:
        json_output.document(json_form.fields(found))
    elif name is None:
        render.fields(found)
    else:
        render.field_values(found[0])
    raise typer.Exit(0 if any(field.values for field in found) else 1)
