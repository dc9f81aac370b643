"""Commands about the command line itself: JSON schemas, completions, manual pages."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qrank import files, json_form
from qrank.cli.shell import complete
from qrank.cli.state import current
from qrank.errors import InputError, suggestion

# Commands with the same output as another, and an earlier name.
SAME = {"similar": "search", "config": "config-list"}


class Shell(StrEnum):
    """The shells, and what is used in them, that scripts are made for."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"
    fzf = "fzf"
    fzf_fish = "fzf-fish"


def schema(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMMAND]",
            help="The command, such as search or models list. [default: list them all]",
            autocompletion=complete.schemas,
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of a command's output.

    Without a command: list the schemas. A line of --jsonl is in the schema of
    --json: $defs/result (search), $defs/chunk (get, chunks) or $defs/document (rerank).
    """
    from qrank.cli.output import json_output

    if not command:
        for name in json_form.schema_names():
            title = json.loads(json_form.schema(name))["title"]
            json_output.text(f"{name:<18} {title}", "\n")
        return
    name = "-".join(command)
    name = SAME.get(name, name)
    if name not in json_form.schema_names():
        raise InputError(
            f"there is no schema {name!r}",
            hint=suggestion(name, json_form.schema_names(), "qrank schema lists them"),
        )
    json_output.text(json_form.schema(name).rstrip(), "\n")


def completions(
    shell: Annotated[
        Shell,
        typer.Argument(metavar="SHELL", help="bash, zsh or fish; or fzf, fzf-fish for the widget."),
    ],
) -> None:
    """Print the completion script for a shell.

    Commands, options, and the names of collections and models are completed.

    \b
    bash: qrank completions bash > ~/.local/share/bash-completion/completions/qrank
    zsh: qrank completions zsh > a folder of $fpath, as _qrank
    fish: qrank completions fish > ~/.config/fish/completions/qrank.fish

    fzf prints a widget for fzf, a search as you type on Alt-S, for ~/.bashrc or ~/.zshrc:
    eval "$(qrank completions fzf)"; in fish: qrank completions fzf-fish | source
    """
    from qrank.cli.output import json_output
    from qrank.cli.shell import completions, fzf

    scripts = completions.SCRIPTS | fzf.SCRIPTS
    json_output.text(scripts[shell.value].strip(), "\n")


def man(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMMAND]",
            help="The command. [default: qrank]",
            autocompletion=complete.commands,
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Write all pages into DIR.")
    ] = None,
) -> None:
    """Print a manual page: qrank man search | man -l -

    Without a command: the page of qrank itself. --dir writes all pages: qrank man --dir
    ~/.local/share/man/man1
    """
    from qrank.cli.output import json_output
    from qrank.cli.shell import manual

    if folder is None:
        json_output.text(manual.page(current().root(), command or []), "")
        return
    for name, text in manual.pages(current().root()):
        path = folder / f"{name}.1"
        try:
            files.write_text(path, text)
        except OSError as error:
            raise InputError(f"can't write {path}: {files.reason(error)}") from error
