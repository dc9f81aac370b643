"""qrank remove, qrank vacuum and qrank collections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qrank import json_form
from qrank.cli.options import Command, Group
from qrank.cli.shell import complete
from qrank.cli.state import current
from qrank.errors import InputError
from qrank.names import named_path, shown_path

app = typer.Typer(cls=Group, invoke_without_command=True, rich_markup_mode=None)


def remove(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH...]", help="Files and folders, including deleted ones."),
    ] = None,
    collection: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only from this collection; without PATH, all of it (may be repeated).",
        ),
    ] = None,
    ignore: Annotated[
        bool,
        typer.Option("--ignore", help="Also add PATH to .qrankignore, so that it stays out."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Remove files, folders or collections from the index.

    The files themselves are not deleted. A file that still exists in an indexed folder is added
    again by the next qrank index, unless it is ignored.
    """
    from qrank.cli.input import file_options
    from qrank.cli.output import json_output
    from qrank.cli.output.render import plural, report, short_path, warning

    if not paths and not collection:
        raise InputError("nothing to remove was named", hint="give a PATH, or --collection NAME")
    if ignore and not paths:
        raise InputError("--ignore needs a PATH")
    with current().open_index() as index:
        removed = index.remove(paths or (), collections=collection or ())
        rules = index.ignore(paths or ()) if ignore else []
        returning = index.coming_back(paths or (), walking=file_options.walking())
        chunks = index.status()["chunks"]
    if as_json:
        json_output.document(json_form.removal(removed, chunks, rules))
    else:
        report(f"{plural(removed, 'file')} removed; {plural(chunks, 'chunk')} in the index")
    for file, rule in rules:
        warning(f"{short_path(named_path(str(file)))} now has the rule {rule}")
    for path, folder in returning.items():
        warning(
            f"{short_path(shown_path(path))} is still there: the next qrank index of "
            f"{short_path(folder)} brings it back (remove --ignore keeps it out)"
        )


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


@app.callback()
def collections(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the collections in the index and their folders.

    qrank index without PATH updates all of them.
    """
    if context.invoked_subcommand:
        return
    from qrank.cli.output import json_output, render

    with current().open_index() as index:
        rows = index.collections()
    if as_json:
        json_output.document(json_form.collections(rows))
    else:
        render.collections(rows)
    raise typer.Exit(0 if rows else 1)


@app.command("set", cls=Command)
def set_(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A collection.", autocompletion=complete.collections),
    ],
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            help="description, ignore or instruction.",
            autocompletion=complete.collection_keys,
        ),
    ],
    value: Annotated[
        list[str], typer.Argument(metavar="VALUE...", help="Its value; '' removes it.")
    ],
) -> None:
    """Set a collection's description, ignore rules or instruction.

    description: what it is about. qrank status shows it, and agents see it over MCP.

    ignore: rules as in a .gitignore, one per VALUE, for each of its folders. They override ignore
    files, and apply from the next qrank index on.

    instruction: is given to embedding models that take one (Qwen3-Embedding), with queries of this
    collection.
    """
    from qrank.cli.output import render

    if key not in complete.COLLECTION_KEYS:
        keys = ", ".join(complete.COLLECTION_KEYS)
        raise InputError(f"a collection has no {key!r}", hint=f"use one of: {keys}")
    with current().open_index() as index:
        setting: Any = {key: value if key == "ignore" else " ".join(value)}
        index.set_collection(name, **setting)
    render.report(f"{name}: {key} {'set' if ''.join(value).strip() else 'removed'}")
