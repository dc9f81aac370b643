"""qrank mcp: the tools for coding agents."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from qrank.cli.options import Command, EmbedModel, ModelGroup, RerankModel
from qrank.cli.state import current
from qrank.errors import InputError, suggestion

NOT_INSTALLED = "qrank mcp needs the package mcp"
HOW_TO_INSTALL = 'install it with: pip install "qrank[mcp]"'
app = typer.Typer(cls=ModelGroup, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context, embed_model: EmbedModel = None, rerank_model: RerankModel = None
) -> None:
    """Let coding agents search the index, over MCP.

    Serves the tools search, get, similar and status on stdin and stdout.

    A client starts this command; qrank mcp install writes its config. The index is that of the
    client's folder, or --db.
    """
    if context.invoked_subcommand:
        return
    from qrank.agents.stdout import Stdout

    run = current()
    stdout = Stdout()  # before importing anything that may print
    try:
        from qrank.agents import server
    except ImportError as error:
        raise InputError(NOT_INSTALLED, hint=HOW_TO_INSTALL) from error
    from qrank.agents.tools import Tools
    from qrank.config import load_settings
    from qrank.serve import remote
    from qrank.serve.pool import Pool

    # Exit at once: there is nothing to save, and threads may be blocked reading stdin or loading.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda which, _frame: os._exit(128 + which))
    if os.name == "posix" and run.settings.get("serve") != "off" and not run.no_serve:
        remote.use(fallback=True)  # several clients share the loaded models
    tools = Tools(
        Pool(run.settings_with_placement()),
        load_settings,
        db=run.db,
        folder=run.folder,
        embed_model=embed_model,
        rerank_model=rerank_model,
    )
    server.serve_stdio(tools, stdout)
    sys.stderr.flush()
    os._exit(0)


@app.command("install", cls=Command)
def install(
    client: Annotated[
        str, typer.Argument(metavar="CLIENT", help="The program, for example claude or vscode.")
    ],
    user: Annotated[
        bool, typer.Option("--user", help="Write the user's config, not that of this folder.")
    ] = False,
    print_only: Annotated[
        bool, typer.Option("--print", help="Print what to add, and write nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Write without asking.")] = False,
    advice: Annotated[
        bool,
        typer.Option("--agents-md/--no-agents-md", help="Also explain the tools in AGENTS.md."),
    ] = True,
) -> None:
    """Add qrank to the config of a program that speaks MCP.

    Shows what will be written, and asks before it writes. A paragraph on when to use which tool
    goes into this folder's AGENTS.md.
    """
    from qrank.agents import clients

    run = current()
    if client not in clients.CLIENTS:
        raise InputError(
            f"qrank does not know the client {client!r}",
            hint=suggestion(client, clients.CLIENTS),
        )
    target = clients.CLIENTS[client]
    user = user or target.project is None
    folder = run.require_folder()
    assert run.settings.home, "load_settings sets it"
    path = clients.config_file(target, folder, run.settings.home, user=user)
    db = [] if run.db is None else ["--db", str(run.db.expanduser().absolute())]
    if user and not db and target.project is None:  # the client has no notion of a project folder
        db = ["--db", str(run.settings.index_path().absolute())]
    command = [_program(user), "mcp", *db]
    if print_only:
        print(f"{path}:\n{clients.snippet(target, command, toml=path.suffix == '.toml')}")
        if advice and not user:
            print(f"{folder / 'AGENTS.md'}:\n{clients.ADVICE}", end="")
        return
    changes = {path: clients.with_server(target, path, command)}
    if advice and not user:
        agents_md = folder / "AGENTS.md"
        before = agents_md.read_text("utf-8") if agents_md.exists() else ""
        changes[agents_md] = clients.with_advice(before)
    changes = {place: text for place, text in changes.items() if _is_new(place, text)}
    for place, text in changes.items():
        print(f"{place}:\n{text}")
    if not changes:
        print(f"{target.title} already has it: {path}")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("nothing was written", hint="add --yes to write it")
        typer.confirm("Write this?", abort=True)
    for place, text in changes.items():
        clients.write(place, text)
        print(f"Wrote {place}", file=sys.stderr)


def _program(user: bool) -> str:
    """How the config calls qrank: by name in a project's file, which may be shared, if PATH has
    this qrank; else by path, because graphical programs have another PATH than a terminal."""
    own = Path(sys.argv[0]).absolute()
    program = shutil.which("qrank")
    if not user and program and Path(program).absolute() == own:
        return "qrank"
    return str(own) if own.name.startswith("qrank") else "qrank"


def _is_new(path: Path, text: str) -> bool:
    try:
        return path.read_text("utf-8-sig") != text
    except (OSError, UnicodeDecodeError):
        return True
