"""The app: its commands, and how errors, signals and closed pipes end it."""

from __future__ import annotations

import logging
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from functools import cache
from typing import Annotated, Any

import typer
from typer._click.exceptions import ClickException, NoArgsIsHelpError  # typer is pinned below 0.29
from typer.models import CommandInfo

from qrank.cli import streams
from qrank.cli.commands import (
    chunks,
    config,
    doctor,
    embed,
    eval,
    fields,
    get,
    index,
    maintain,
    mcp,
    models,
    reference,
    rerank,
    search,
    serve,
    status,
    transfer,
    tui,
    verify,
)
from qrank.cli.options import Command, Group, ModelCommand
from qrank.cli.output.escape import escape_line
from qrank.cli.state import GONE, Run, is_in_repository, working_folder
from qrank.errors import NoIndexError, QrankError, Terminated
from qrank.files import reason

app = typer.Typer(
    name="qrank",
    cls=Group,
    no_args_is_help=True,
    add_completion=False,  # qrank completions
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("index", cls=ModelCommand)(index.index)
app.command("search", cls=ModelCommand)(search.search)
app.command("tui", cls=ModelCommand)(tui.tui)
app.command("similar", cls=Command)(search.similar)
app.command("fields", cls=Command)(fields.fields)
app.command("links", cls=Command)(fields.links)
app.command("get", cls=Command)(get.get)
app.command("verify", cls=Command)(verify.verify)
app.command("open", cls=Command)(get.open_)
app.command("chunks", cls=Command)(chunks.chunks)
app.command("rerank", cls=ModelCommand)(rerank.rerank)
app.command("embed", cls=ModelCommand)(embed.embed)
app.command("eval", cls=ModelCommand)(eval.evaluate)
app.command("status", cls=Command)(status.status)
app.command("remove", cls=Command)(maintain.remove)
app.command("vacuum", cls=Command)(maintain.vacuum)
app.command("export", cls=Command)(transfer.export)
app.command("import", cls=Command)(transfer.import_)
app.command("doctor", cls=ModelCommand)(doctor.doctor)
app.command("init", cls=Command)(status.init)
app.add_typer(mcp.app, name="mcp")
app.add_typer(models.app, name="models")
app.add_typer(config.app, name="config")
app.add_typer(maintain.app, name="collections")
app.add_typer(serve.app, name="serve")
app.command("schema", cls=Command)(reference.schema)
app.command("completions", cls=Command)(reference.completions)
app.command("man", cls=Command)(reference.man)


_PLAINLY = {  # click's words for what users call otherwise
    "a valid int range": "a whole number",
    "a valid integer": "a whole number",
    "a valid float range": "a number",
    "a valid float": "a number",
    "'%Y-%m-%d', '%Y-%m-%dT%H:%M:%S'": "YYYY-MM-DD, YYYY-MM-DDThh:mm:ss",
}


def _version(wanted: bool) -> None:
    if not wanted:
        return
    from qrank import __version__
    from qrank.upkeep.inventory import engine_versions

    print(f"qrank {__version__}", flush=True)  # whatever llama.cpp's library does
    for line in engine_versions():
        print(line)
    raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show versions and devices."
        ),
    ] = False,
) -> None:
    """Search local documents: BM25, embeddings and a reranker, offline.

    Start with: qrank index FOLDER, then: qrank search "what to look for".
    """


def run(opened: Callable[[str], None] | None = None) -> int:
    """Run the command line and return its exit status; an error becomes one line on stderr.
    opened is told of each index that the command opens."""
    state = Run(root, run, opened)
    _show_notices(state)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return _answered(state)
    except (typer.Abort, KeyboardInterrupt, Terminated) as error:
        if not isinstance(error, typer.Abort):
            streams.drop_unread()
        # watchfiles turns what a signal's handler raises into KeyboardInterrupt.
        if isinstance(error, Terminated) or _was_terminated():
            return _fail(str(error) or "terminated", 128 + signal.SIGTERM)
        return _fail(str(error) or "interrupted", 130)


def _answered(state: Run) -> int:
    """The command's exit status. What a signal raises is raised, also while an error is said."""
    try:
        status = _command(state, sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads stdout any more
        return 0
    except NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except ClickException as error:
        return _fail(_usage(error), 2)
    except typer.Abort:
        raise
    except Exception as error:
        if state.debug:
            raise
        if isinstance(error, QrankError):
            return _fail(_advised(error, state), error.status)
        if isinstance(error, OSError):
            return _fail(_of_system(error), 2)
        return _fail(f"{type(error).__name__}: {error}; --debug shows where", 2)
    _start_server(state)
    return status


def _start_server(state: Run) -> None:
    """Start the warm process for the next command, if the settings say so."""
    read = "settings" in vars(state)  # the command has asked for them, and they are right
    if not read or state.opened or state.settings.get("serve") != "start":
        return
    from qrank.serve import client

    if os.name != "posix" or not client.is_served(sys.argv[1:]):
        return
    from qrank.serve import start

    if not start.status()["running"]:
        with suppress(QrankError, OSError):  # the command itself went well
            start.in_background([])


def _advised(error: QrankError, run: Run) -> str:
    """An error, with the advice that fits the working folder."""
    if isinstance(error.__cause__, FileNotFoundError) and run.folder is None:
        return GONE
    if (
        isinstance(error, NoIndexError)  # asked first: an error may be about the settings
        and not run.dbs
        and "db" not in run.settings.values
        and is_in_repository(run.folder)
    ):
        return f"{error.what}; make one for this repository with: qrank init && qrank index ."
    return str(error)


def _terminate(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the next one ends it at once
    raise Terminated


def _was_terminated() -> bool:
    return signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def _usage(error: ClickException) -> str:
    """What was wrong with the command line, and where its help is."""
    message = error.format_message()
    if "unexpected extra argument" in message:
        message += _meant(error) or "; quote arguments that contain spaces, and globs"
    if re.match("No such option: -[^-]", message):
        message += "; put arguments that begin with - after --"
    for said, meant in _PLAINLY.items():
        message = message.replace(said, meant)
    context = getattr(error, "ctx", None)  # an option without its value has none
    named = [command.name or "" for command in _commands_of(sys.argv[1:])]
    path = context.command_path if context else " ".join(["qrank", *named])
    return f"{message} (see {path} --help)"


def _meant(error: ClickException) -> str:
    """What was meant by a search with a second argument, as grep takes one."""
    extra = re.search(r" \((.+)\)$", error.format_message())
    command = getattr(getattr(error, "ctx", None), "info_name", "")
    if command not in ("search", "tui") or extra is None or not os.path.exists(extra[1]):  # noqa: PTH110
        return ""
    return f"; to search only there use --path {shlex.quote(extra[1])}"


def _command(run: Run, arguments: list[str]) -> int:
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    command = root(next((str(called.name) for called in _commands_of(arguments)), ""))
    if how := run.environment.get("_QRANK_COMPLETE"):  # a shell asks for completions
        from qrank.cli.shell.complete import candidates

        for value, text in candidates(command, run):
            print(f"{value}\t{text}" if text and how == "describe" else value)
        return 0
    try:
        # Not command(…): that would keep interrupts and closed pipes to itself.
        with command.make_context("qrank", arguments, obj=run) as context:
            command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return 0


def _commands_of(arguments: list[str]) -> list[CommandInfo]:
    """The command that the line begins with, if it does with one that is no group."""
    return [command for command in app.registered_commands if [command.name] == arguments[:1]]


@cache
def root(name: str = "") -> Any:
    """The whole command, with all that there is below it, or only the command of that name: all
    of them take 25 ms to make."""
    if not name:
        return typer.main.get_command(app)
    alone = copy(app)
    alone.registered_commands, alone.registered_groups = _commands_of([name]), []
    return typer.main.get_command(alone)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return escape_line(super().format(record))


def _show_notices(run: Run) -> None:
    """Put what the library logs (a model that did not fit, say) on stderr, a line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("qrank: %(message)s"))
    handler.addFilter(lambda record: record.levelno > logging.INFO or run.verbose)
    handler.addFilter(lambda _: not run.quiet)
    logger = logging.getLogger("qrank")
    logger.setLevel(logging.INFO)  # what takes long, for -v
    logger.addHandler(handler)


def _of_system(error: OSError) -> str:
    """What to say of an error of the operating system that nothing below has explained."""
    if working_folder() is None:
        return GONE
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    return f"can't use {name}: {reason(error)}" if name else f"{reason(error)}; --debug shows where"


def _fail(message: str, status: int) -> int:
    print("qrank:", escape_line(" ".join(message.split())), file=sys.stderr)
    return status
