"""The app: its commands, and how errors, signals and closed pipes end it."""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import Annotated

import typer
from typer._click.exceptions import ClickException, NoArgsIsHelpError  # typer is pinned below 0.29

from qrank.cli import doctor, embed, eval, index, models, rerank, search, status
from qrank.cli.options import Command, Group, ModelCommand, common
from qrank.cli.snippet import inert_name
from qrank.errors import QrankError

app = typer.Typer(
    name="qrank",
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("index", cls=ModelCommand)(index.index)
app.command("search", cls=ModelCommand)(search.search)
app.command("rerank", cls=ModelCommand)(rerank.rerank)
app.command("embed", cls=ModelCommand)(embed.embed)
app.command("eval", cls=ModelCommand)(eval.evaluate)
app.command("status", cls=Command)(status.status)
app.command("doctor", cls=ModelCommand)(doctor.doctor)
app.command("init", cls=Command)(status.init)
app.add_typer(models.app, name="models")


def _version(wanted: bool) -> None:
    if wanted:
        from qrank import __version__

        print(f"qrank {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Search local documents: BM25, embeddings and a reranker, offline.

    Start with: qrank index FOLDER, then: qrank search "what to look for".
    """


def run() -> int:
    """Run the command line and return its exit status; an error becomes one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # UTF-8 whatever the locale says
            stream.reconfigure(encoding="utf-8", errors="replace")
    _show_notices()
    try:
        status = _command(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_left()
    except NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except ClickException as error:
        return _fail(_usage(error), 2)
    except (typer.Abort, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except Exception as error:
        if common.debug:
            raise
        if isinstance(error, QrankError):
            return _fail(str(error), error.status)
        return _fail(f"{type(error).__name__}: {error}; --debug shows where", 2)
    return status


def _usage(error: ClickException) -> str:
    """What was wrong with the command line, and where its help is."""
    message = error.format_message()
    if "unexpected extra argument" in message:
        message += "; put quotes around words with blanks, and around globs"
    context = getattr(error, "ctx", None)
    return f"{message} (see {context.command_path if context else 'qrank'} --help)"


def _command(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    if "_QRANK_COMPLETE" in os.environ:  # a shell asks for completions
        command(prog_name="qrank")
    try:
        # Not command(…): that would keep interrupts and closed pipes to itself.
        with command.make_context("qrank", arguments) as context:
            command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return 0


def _show_notices() -> None:
    """Put what the library logs (a model that did not fit, say) on stderr, a line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("qrank: %(message)s"))
    handler.addFilter(lambda _: not common.quiet)
    logging.getLogger("qrank").addHandler(handler)


def _reader_left() -> int:
    """Nobody reads stdout any more: end quietly, and keep Python from saying so at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _fail(message: str, status: int) -> int:
    print("qrank:", inert_name(" ".join(message.split())), file=sys.stderr)
    return status
