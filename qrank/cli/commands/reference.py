"""What describes the command line itself: JSON schemas, completions, manual pages."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qrank import files, json_form
from qrank.cli.shell import complete
from qrank.cli.state import current
from qrank.errors import InputError


class Shell(StrEnum):
    """The shells that completions are made for."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def schema(name: Annotated[json_form.Schema, typer.Argument(help="The command.")]) -> None:
    """Print the JSON Schema of a command's output.

    A line of --jsonl is its $defs/result (search), $defs/chunk (get) or $defs/document (rerank).
    """
    from qrank.cli.output import json_output

    json_output.text(json_form.schema(name).rstrip(), "\n")


def completions(shell: Annotated[Shell, typer.Argument(help="Your shell.")]) -> None:
    """Print the completion script for a shell.

    Commands, options, and the names of collections and models are completed.

    \b
    bash: qrank completions bash > ~/.local/share/bash-completion/completions/qrank
    zsh: qrank completions zsh > a folder of $fpath, as _qrank
    fish: qrank completions fish > ~/.config/fish/completions/qrank.fish
    """
    from qrank.cli.output import json_output
    from qrank.cli.shell.completions import SCRIPTS

    json_output.text(SCRIPTS[shell.value].strip(), "\n")


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

    Without a command it is qrank's own. --dir writes all pages: qrank man --dir
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
