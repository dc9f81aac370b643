"""qrank serve: the warm process."""

from __future__ import annotations

import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qrank.cli.options import MOST_SECONDS, Command, Group, number
from qrank.cli.output.escape import escape_line
from qrank.cli.state import current
from qrank.errors import InputError
from qrank.settings import DEFAULTS

if TYPE_CHECKING:
    from qrank.serve.supervisor import Service

app = typer.Typer(cls=Group, invoke_without_command=True, rich_markup_mode=None)


class Kind(StrEnum):
    """The service managers that can start it at login."""

    systemd = "systemd"
    launchd = "launchd"


def _seconds(name: str, help: str) -> Any:
    return typer.Option(
        name, parser=number(name, 0, MOST_SECONDS), metavar="SECONDS", help=help, show_default=False
    )


Idle = Annotated[
    float | None,
    _seconds("--idle", "Stop after this time without use; 0: never. [default: 1800]"),
]
UnitIdle = Annotated[
    float, _seconds("--idle", "Stop after this time without use; 0: never. [default: 0]")
]
ModelIdle = Annotated[
    float | None,
    _seconds(
        "--model-idle", "Unload a model after this time without use; 0: never. [default: 600]"
    ),
]


@app.callback()
def serve(
    context: typer.Context,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay in the foreground, and log to stderr.")
    ] = False,
    http: Annotated[
        str | None,
        typer.Option("--http", metavar="[HOST:]PORT", help="Also serve HTTP."),
    ] = None,
    open_page: Annotated[
        bool,
        typer.Option("--open", help="Open the page in the browser. [--http default: 8420]"),
    ] = False,
    idle: Idle = None,
    model_idle: ModelIdle = None,
) -> None:
    """Keep models loaded in the background, to make commands faster.

    While it runs, search, rerank, embed, similar and get use it. It stops when it has been idle,
    unless it serves HTTP.
    """
    if context.invoked_subcommand:
        return
    if sys.platform == "win32":
        raise InputError("qrank serve does not run on Windows yet")
    if foreground and open_page:
        raise InputError(
            "--open and --foreground can't be combined",
            hint="start it first, then run qrank serve --open",
        )
    if foreground:
        _in_foreground(idle, model_idle, http)
        return
    from qrank.serve import start

    state = start.status()
    if state["running"]:
        if (http or open_page) and not state["http"]:
            raise InputError("it runs without HTTP", hint="end it first: qrank serve stop")
        _notice(f"already running, process {state['pid']}")
    else:
        state = start.start([*_options(idle, model_idle), *_http_options(http, open_page)])
        _notice(f"running in the background, process {state['pid']}; it logs to {start.log_file()}")
    if state["http"]:
        _notice(f"HTTP on {state['http']}, with the token in {state['token_file']}")
    if open_page:
        _open(state["http"], state["token_file"])


def _http_options(http: str | None, open_page: bool) -> list[str]:
    """The options for the process in the background, which has another working folder."""
    if not http and not open_page:
        return []
    from qrank.web import service

    db = current().settings.index_path(current().db).absolute()
    return [f"--http={http or service.ADDRESS}", f"--db={db}"]


def _open(url: str, token_file: str) -> None:
    """Open the page in the browser, or print its URL if there is no browser."""
    import webbrowser

    from qrank.web import service

    address = service.page_address(url, Path(token_file))
    if not webbrowser.open(address):
        print(address)


def _options(idle: float | None, model_idle: float | None) -> list[str]:
    options = {"--idle": idle, "--model-idle": model_idle}
    return [f"{name}={value:g}" for name, value in options.items() if value is not None]


def _in_foreground(idle: float | None, model_idle: float | None, http: str | None) -> None:
    from qrank.cli import warm
    from qrank.serve.listen import AlreadyRunningError, Listening
    from qrank.serve.supervisor import Supervisor

    settings, main = current().settings, current().main
    current().verbose = True  # its log has the info messages, too

    def seconds(key: str, flag: float | None) -> float:
        return flag if flag is not None else float(settings.get(key) or DEFAULTS[key])

    try:
        listening = Listening()
    except AlreadyRunningError:
        from qrank.serve import start

        pid = start.status().get("pid", "another")
        raise InputError(
            f"it is already running, process {pid}", hint="end it with: qrank serve stop"
        ) from None
    with listening:
        services = [_http_service(http)] if http else []
        warm.load(current().root)
        supervisor = Supervisor(
            listening,
            lambda opened: warm.run(main, opened),
            warm.reason_to_decline,
            idle=seconds("serve_idle", idle),
            model_idle=seconds("serve_model_idle", model_idle),
            services=services,
        )
        _notice(f"listening on {listening.path}")
        supervisor.serve()


def _http_service(address: str) -> Service:
    from qrank.config import load_settings
    from qrank.serve.supervisor import Service
    from qrank.web import service

    db = current().settings.index_path(current().db).absolute()
    http = service.prepare(address, load_settings, db)
    _notice(f"HTTP on {http.about['http']}, with the token in {http.about['token_file']}")
    return Service("HTTP", http.run, http.about, http.listening)


@app.command("status", cls=Command)
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show whether the process is running, and which models it has loaded.

    Exit status: 0 it is running, 1 it is not.
    """
    from qrank.serve import start

    answer = start.status()
    if as_json:
        from qrank.cli.output import json_output

        keys = dict.fromkeys(("pid", "version", "socket", "http", "token_file"))
        json_output.document({**keys, "commands": 0, "models": [], "indexes": []} | answer)
    elif not answer["running"]:
        print("not running")
    else:
        _print(answer)
    raise typer.Exit(0 if answer["running"] else 1)


def _print(status: dict[str, object]) -> None:
    print(f"running   process {status['pid']}, version {status['version']}")
    for name in ("socket", "http"):
        if status[name]:
            print(f"{name:<9} {escape_line(str(status[name]))}")
    print(f"commands  {status['commands']}")
    for model in status["models"]:  # type: ignore[attr-defined]
        use = (
            f"{model['clients']} clients" if model["clients"] else f"idle {model['idle_seconds']} s"
        )
        print(f"model     {escape_line(model['path'])} ({model['role']}, {use})")
    for index in status["indexes"]:  # type: ignore[attr-defined]
        print(f"index     {escape_line(index)}")


@app.command("stop", cls=Command)
def stop() -> None:
    """Stop the process, after the commands that it is running.

    Exit status: 0 it has stopped, 1 it was not running.
    """
    from qrank.serve import start

    if not start.stop():
        _notice("not running")
        raise typer.Exit(1)


@app.command("unit", cls=Command)
def unit(
    kind: Annotated[
        Kind | None,
        typer.Argument(
            metavar="[KIND]", help="systemd or launchd. [default: what this system has]"
        ),
    ] = None,
    idle: UnitIdle = 0,
    model_idle: ModelIdle = None,
) -> None:
    """Print a file that makes systemd or launchd start it at login."""
    from qrank.serve import unit as unit_files

    manager = kind or (Kind.launchd if sys.platform == "darwin" else Kind.systemd)
    program = shutil.which("qrank") or sys.argv[0]
    print(unit_files.unit(manager, program, _options(idle, model_idle)), end="")


def _notice(message: str) -> None:
    from qrank.cli.output import render

    render.warning(message)
