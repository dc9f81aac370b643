"""qrank fields and qrank links: the metadata of documents, and the links between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from qrank import json_form
from qrank.arguments import FilterOptions
from qrank.cli.options import MOST, Collections, PathGlob, Since, Types, Until, Where
from qrank.cli.output.escape import escape_line
from qrank.cli.shell import complete
from qrank.cli.state import current

if TYPE_CHECKING:
    from qrank.analysis.links import FoundLink, Links


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
        int,
        typer.Option("-n", "--limit", min=1, max=MOST, metavar="N", help="Show at most N values."),
    ] = 20,
    collection: Collections = None,
    path: PathGlob = None,
    where: Where = None,
    types: Types = None,
    since: Since = None,
    until: Until = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the fields of documents, such as tags or mail headers.

    Fields are front matter, mail headers and columns of tables.

    For each: the kinds of its values, how many documents (or rows, or messages) have it, and its
    most frequent values. qrank search --where filters by them, and by path, type, ext, size,
    mtime, title, collection and language.
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
            counts = index.fields(**filter)
        else:
            counts = [index.field_values(name, limit=limit, **filter)]
    if as_json:
        json_output.document(json_form.fields(counts))
    elif name is None:
        render.fields(counts)
    else:
        render.field_values(counts[0])
    raise typer.Exit(0 if any(field.values for field in counts) else 1)


def links(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An indexed file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the links in a file, and the links to it.

    Reads Markdown with wiki-links ([[Note|alias]], [[Note#Heading]], embeds), HTML, Org and
    reStructuredText. Shows where each link leads, broken links, what links to the file, and where
    its title is mentioned without a link. To search along links: qrank search --links-to FILE and
    --linked-from FILE.

    Exit status: 0 there are links or mentions, 1 there are none, 2 an error.
    """
    from qrank.cli.output import json_output, render

    with current().open_index() as index:
        links_of_file = index.links(file)
    if as_json:
        json_output.document(json_form.links(links_of_file))
    else:
        for line in _lines(links_of_file):
            print(escape_line(line))
    any_found = bool(links_of_file.outgoing or links_of_file.incoming or links_of_file.mentions)
    if not any_found:
        render.warning(f"{file} has no links, and no indexed file links to it or mentions it")
    raise typer.Exit(0 if any_found else 1)


def _lines(links: Links) -> Iterator[str]:
    """The lines to print: each kind of links under a heading, each link with its line, its text and
    its target."""
    from qrank.cli.output.render import short_path

    def target(link: FoundLink) -> str:
        return f"{link.target}#{link.heading}" if link.heading else link.target

    parts = {
        "out": [
            f"{link.line}: {target(link)} -> {short_path(link.to)}"
            for link in links.outgoing
            if link.to
        ],
        "in": [f"{short_path(link.path)}:{link.line}: {target(link)}" for link in links.incoming],
        "unresolved": [f"{link.line}: {target(link)}" for link in links.outgoing if not link.to],
        "mentions without a link": [
            f"{short_path(mention.path)}:{mention.line}: {mention.text}"
            for mention in links.mentions
        ],
    }
    for name, lines in parts.items():
        if lines:
            yield f"{name}:"
            yield from (f"  {line}" for line in lines)
