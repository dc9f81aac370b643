"""The app: its commands, and the handling of errors, signals and closed pipes."""

from __future__ import annotations

import logging
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Annotated, Any, get_type_hints

import typer
from typer._click.exceptions import ClickException, NoArgsIsHelpError  # typer is pinned below 0.29
from typer.core import TyperCommand

from qrank.cli import streams
from qrank.cli.options import Command, Group, ModelCommand
from qrank.cli.output.escape import escape_line
from qrank.cli.state import GONE, Run, is_in_repository, working_folder
from qrank.errors import NoIndexError, QrankError, Terminated
from qrank.files import reason

# Where each command is: module:function in cli/commands. To start quickly, only the module of the
# command that runs is imported; all of them for `qrank --help`.
_COMMANDS: dict[str, tuple[str, type[TyperCommand]]] = {
    "index": ("index:index", ModelCommand),
    "search": ("search:search", ModelCommand),
    "tui": ("tui:tui", ModelCommand),
    "similar": ("search:similar", Command),
    "fields": ("fields:fields", Command),
    "links": ("fields:links", Command),
    "get": ("get:get", Command),
    "verify": ("verify:verify", Command),
    "open": ("get:open_", Command),
    "chunks": ("chunks:chunks", Command),
    "rerank": ("rerank:rerank", ModelCommand),
    "embed": ("embed:embed", ModelCommand),
    "eval": ("eval:evaluate", ModelCommand),
    "status": ("status:status", Command),
    "remove": ("maintain:remove", Command),
    "vacuum": ("maintain:vacuum", Command),
    "export": ("transfer:export", Command),
    "import": ("transfer:import_", Command),
    "doctor": ("doctor:doctor", ModelCommand),
    "init": ("status:init", Command),
    "schema": ("reference:schema", Command),
    "completions": ("reference:completions", Command),
    "man": ("reference:man", Command),
}
_GROUPS = {  # of commands: module:app
    "mcp": "mcp:app",
    "models": "models:app",
    "config": "config:app",
    "collections": "maintain:app",
    "serve": "serve:app",
}

_PLAIN_WORDS = {  # click's words -> plain words
    "a valid int range": "a whole number",
    "a valid integer": "a whole number",
    "a valid float range": "a number",
    "a valid float": "a number",
    "'%Y-%m-%d', '%Y-%m-%dT%H:%M:%S'": "YYYY-MM-DD, YYYY-MM-DDThh:mm:ss",
}
_RANGE = re.compile(r"is not in the range (\d+)<=x<=(\d+)")


def _version(value: bool) -> None:
    if not value:
        return
    from qrank import __version__
    from qrank.upkeep.inventory import engine_versions

    print(f"qrank {__version__}", flush=True)  # even if loading llama.cpp crashes
    for line in engine_versions():
        print(line)
    raise typer.Exit


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
    """Run the command line (sys.argv) and return its exit status; an error becomes one line on
    stderr. opened: called with the path of each index that the command opens."""
    state = Run(root, run, opened)
    _show_notices(state)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return _status(state)
    except (typer.Abort, KeyboardInterrupt, Terminated) as error:
        if not isinstance(error, typer.Abort):
            streams.discard_output()
        # watchfiles turns Terminated, raised by our signal handler, into KeyboardInterrupt.
        if isinstance(error, Terminated) or _was_terminated():
            return _fail(str(error) or "terminated", 128 + signal.SIGTERM)
        return _fail(str(error) or "interrupted", 130)


def _status(state: Run) -> int:
    """Run the command; returns its exit status. Exceptions raised by signals are passed on."""
    try:
        status = _command(state, sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of stdout has exited
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
            return _fail(_message(error, state), error.status)
        if isinstance(error, OSError):
            return _fail(_system_error(error), 2)
        return _fail(f"{type(error).__name__}: {error}; --debug shows where", 2)
    _start_server(state)
    return status


def _start_server(state: Run) -> None:
    """Start the warm process for the next command, if the settings say so."""
    loaded = "settings" in vars(state)  # by the command, so that they are valid
    if not loaded or state.opened or state.settings.get("serve") != "start":
        return
    from qrank.serve import client

    if os.name != "posix" or not client.is_served(sys.argv[1:]):
        return
    from qrank.serve import start

    if not start.status()["running"]:
        with suppress(QrankError, OSError):  # the command itself has succeeded
            start.in_background([])


def _message(error: QrankError, run: Run) -> str:
    """The message of an error, with a hint that depends on the working folder."""
    if isinstance(error.__cause__, FileNotFoundError) and run.folder is None:
        return GONE
    if (
        isinstance(error, NoIndexError)  # checked first: other errors may be about the settings
        and not run.dbs
        and "db" not in run.settings.values
        and is_in_repository(run.folder)
    ):
        return f"{error.what}; make one for this repository with: qrank init && qrank index ."
    return str(error)


def _terminate(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends the process at once
    raise Terminated


def _was_terminated() -> bool:
    return signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def _usage(error: ClickException) -> str:
    """The message for an invalid command line, with the command whose --help to read."""
    message = error.format_message()
    if "unexpected extra argument" in message:
        message += _correction(error) or "; quote arguments that contain spaces, and globs"
    if re.match("No such option: -[^-]", message):
        message += "; put arguments that begin with - after --"
    for text, plain in _PLAIN_WORDS.items():
        message = message.replace(text, plain)
    message = _RANGE.sub(r"is not from \1 to \2", message).rstrip(".")
    context = getattr(error, "ctx", None)  # an option without its value has none
    path = context.command_path if context else f"qrank {_first(sys.argv[1:])}".rstrip()
    return f"{message} (see {path} --help)"


def _correction(error: ClickException) -> str:
    """The correction for a search whose second argument is a path, as in grep."""
    extra = re.search(r" \((.+)\)$", error.format_message())
    command = getattr(getattr(error, "ctx", None), "info_name", "")
    if command not in ("search", "tui") or extra is None or not os.path.exists(extra[1]):  # noqa: PTH110
        return ""
    return f"; to search only there use --path {shlex.quote(extra[1])}"


def _command(run: Run, arguments: list[str]) -> int:
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    command = root(_first(arguments))
    if form := run.environment.get("_QRANK_COMPLETE"):  # called by a completion script
        from qrank.cli.shell.complete import candidates

        for value, text in candidates(command, run):
            print(f"{value}\t{text}" if text and form == "describe" else value)
        return 0
    try:
        # Not command(…), which handles interrupts and closed pipes itself.
        with command.make_context("qrank", arguments, obj=run) as context:
            command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return 0


def _first(arguments: list[str]) -> str:
    """The command or group that the arguments begin with; "" if there is none."""
    name = arguments[0] if arguments else ""
    return name if name in _COMMANDS or name in _GROUPS else ""


@cache
def root(name: str = "") -> Any:
    """qrank's click command with all subcommands; with a name, only with that command or group,
    which takes half the time."""
    app = typer.Typer(
        name="qrank",
        cls=Group,
        no_args_is_help=True,
        add_completion=False,  # qrank completions
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for command, (place, cls) in _COMMANDS.items():
        if name in ("", command):
            app.command(command, cls=cls)(_at(place))
    for group, place in _GROUPS.items():
        if name in ("", group):
            app.add_typer(_at(place), name=group)
    return typer.main.get_command(app)


def _at(place: str) -> Any:
    """The command or group of commands at a place."""
    module, _, name = place.partition(":")
    found = getattr(import_module(f"qrank.cli.commands.{module}"), name)
    is_group = isinstance(found, typer.Typer)
    for function in [each.callback for each in found.registered_commands] if is_group else [found]:
        # typer evaluates annotations four times, as long as they are text: 2 ms for qrank search.
        function.__annotations__ = get_type_hints(function, include_extras=True)
    return found


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return escape_line(super().format(record))


def _show_notices(run: Run) -> None:
    """Print what the library logs (for instance, that a model did not fit) to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("qrank: %(message)s"))
    handler.addFilter(lambda record: record.levelno > logging.INFO or run.verbose)
    handler.addFilter(lambda _: not run.quiet)
    logger = logging.getLogger("qrank")
    logger.setLevel(logging.INFO)  # slow steps, for -v
    logger.addHandler(handler)


def _system_error(error: OSError) -> str:
    """The message for an OSError that was not handled elsewhere."""
    if working_folder() is None:
        return GONE
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    return f"can't use {name}: {reason(error)}" if name else f"{reason(error)}; --debug shows where"


def _fail(message: str, status: int) -> int:
    print("qrank:", escape_line(" ".join(message.split())), file=sys.stderr)
    return status
