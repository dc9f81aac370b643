"""qrank config: reading and writing the settings files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qrank.cli.options import Command
from qrank.cli.output import hyperlinks
from qrank.cli.shell import complete
from qrank.cli.state import current
from qrank.errors import InputError, suggestion
from qrank.models.registry import Role
from qrank.settings import AUTO
from qrank.urls import index_place

app = typer.Typer(help="Show and change settings.", no_args_is_help=True, rich_markup_mode=None)
Project = Annotated[
    bool,
    typer.Option("--project", help="Use the project's file, beside its index, not the user's."),
]
Key = Annotated[
    str, typer.Argument(metavar="KEY", help="A setting.", autocompletion=complete.settings)
]


@app.callback()
def _config() -> None:
    """Show and change settings."""


@app.command("get", cls=Command)
def get(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[KEY]", help="A setting. [default: all]", autocompletion=complete.settings
        ),
    ] = None,
) -> None:
    """Print the value of a setting in this folder, or of all that are set.

    The environment overrides the project's file, which overrides the user's.

    Exit status: 0 it is set, 1 it is not.
    """
    from qrank import config
    from qrank.cli.output import json_output

    values = current().settings.values
    if key is None:
        for name, value in values.items():
            json_output.text(f"{name} = {value}", "\n")
        return
    if key not in config.KEYS:
        raise _unknown(key)
    if key not in values:
        raise typer.Exit(1)
    json_output.text(values[key], "\n")


@app.command("list", cls=Command)
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List all settings with their values and sources.

    The source of a value is the environment, a settings file, or qrank's default.
    """
    from qrank import config, json_form
    from qrank.cli.output import json_output

    table = json_form.settings(current().settings, config.KEYS)
    if as_json:
        json_output.document(table)
        return
    width = max(len(str(each["value"] or "")) for each in table["settings"])
    for each in table["settings"]:
        line = f"{each['key']:<17} {each['value'] or '':<{min(width, 40)}}  {each['source']}"
        json_output.text(line, "\n")


@app.command("set", cls=Command)
def set_(
    key: Key,
    value: Annotated[
        str | None, typer.Argument(metavar="[VALUE]", help="The new value. [default: remove KEY]")
    ] = None,
    project: Project = False,
) -> None:
    """Write a setting to the user's settings file, or the project's.

    Without VALUE the setting is removed from the file.
    """
    from qrank import config

    if key not in config.KEYS:
        raise _unknown(key)
    config.write(_file(project), key, _checked(key, value))


@app.command("path", cls=Command)
def path(project: Project = False) -> None:
    """Print the path of the settings file, which may not exist yet."""
    from qrank.cli.output import json_output

    json_output.text(str(_file(project)), "\n")


def _checked(key: str, value: str | None) -> str | None:
    if value is None:
        return None
    if key == "hyperlink_format":
        hyperlinks.checked(value)
    roles = {"embed_model": Role.embedder, "rerank_model": Role.reranker}
    if key in roles and value != AUTO:
        # Raise for an unknown name now, not in every search.
        current().models.lookup(roles[key], value)
    # A relative path in the file is relative to the file's folder, not to this one.
    return str(index_place(value).expanduser().absolute()) if key == "db" else value


def _file(project: bool) -> Path:
    from qrank import config

    return config.project_file(current().settings) if project else config.user_file()


def _unknown(key: str) -> InputError:
    from qrank import config

    return InputError(f"there is no setting {key!r}", hint=suggestion(key, config.KEYS))
