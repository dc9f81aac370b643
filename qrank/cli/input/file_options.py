"""The options of commands that read files, and qrank chunks, which shows what is read of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qrank.cli.input import words
from qrank.cli.options import MOST_SECONDS, common, number
from qrank.cli.shell import complete
from qrank.errors import InputError
from qrank.settings import MAX_FILESIZE, TIMEOUT, Reading, Walking

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qrank.indexing.plan import FilePlan

MOST_BYTES = 1 << 50
_SIZE = re.compile(r"(\d+)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)

NoIgnore = Annotated[
    bool, typer.Option("--no-ignore", help="Do not honour .gitignore and the like.")
]
Hidden = Annotated[bool, typer.Option("--hidden", help="Hidden files and folders, too.")]
IncludeSecrets = Annotated[
    bool, typer.Option("--include-secrets", help="Files that hold keys or passwords, too.")
]
Globs = Annotated[
    list[str] | None,
    typer.Option("-g", "--glob", metavar="GLOB", help="Only files that match; !GLOB: not these."),
]
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="Only files of this type: pdf, markdown, py, …",
        autocompletion=complete.types,
    ),
]
MaxFilesize = Annotated[
    str | None, typer.Option("--max-filesize", metavar="SIZE", help="Leave larger files out. [32M]")
]
Fields = Annotated[
    str | None,
    typer.Option("--fields", metavar="NAME,…", help="Which fields of JSONL and CSV to read."),
]
Pre = Annotated[
    str | None,
    typer.Option("--pre", metavar="COMMAND", help="Read what COMMAND FILE prints instead."),
]
PreGlobs = Annotated[
    list[str] | None, typer.Option("--pre-glob", metavar="GLOB", help="Use --pre for these only.")
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        parser=number("--timeout", 0.1, MOST_SECONDS),
        metavar="SECONDS",
        help="For one file. [60]",
    ),
]


def walking(
    *,
    no_ignore: bool = False,
    hidden: bool = False,
    include_secrets: bool = False,
    globs: list[str] | None = None,
    types: list[str] | None = None,
    max_filesize: str | None = None,
    whole_home: bool = False,
) -> Walking:
    """Which files the options ask for."""
    size = MAX_FILESIZE if max_filesize is None else _bytes(max_filesize)
    return Walking(
        ignore=not no_ignore,
        global_ignores=common.settings.global_ignores,
        hidden=hidden,
        include_secrets=include_secrets,
        globs=tuple(globs or ()),
        types=tuple(types or ()),
        max_filesize=size,
        whole_home=whole_home,
    )


def reading(
    fields: str | None, pre: str | None, pre_globs: list[str] | None, timeout: float | None
) -> Reading:
    """How the options ask for files to be read."""
    try:
        command = tuple(words.split(pre or ""))
    except ValueError as error:
        raise InputError(f"--pre {pre!r} is no command: {error}") from error
    if pre is not None and not command:
        raise InputError("--pre needs a command")
    if pre_globs and not command:
        raise InputError("--pre-glob goes with --pre", hint="say which command to run")
    names = tuple(name.strip() for name in (fields or "").split(",") if name.strip())
    return Reading(names, command, tuple(pre_globs or ()), timeout or TIMEOUT)


def _bytes(value: str) -> int:
    match = _SIZE.fullmatch(value.strip())
    if not match:
        raise InputError(f"--max-filesize takes a size like 500K, 32M or 2G, not {value!r}")
    # The length first: int() refuses thousands of digits.
    size = int(match[1][:20]) << (10 * " kmgt".index(match[2].lower() or " "))
    if size > MOST_BYTES:
        raise InputError(f"--max-filesize takes a size up to 1024T, not {value!r}")
    return size


def chunks(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files and folders.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print a JSON object a passage.")
    ] = False,
    no_ignore: NoIgnore = False,
    hidden: Hidden = False,
    include_secrets: IncludeSecrets = False,
    globs: Globs = None,
    types: Types = None,
    max_filesize: MaxFilesize = None,
    fields: Fields = None,
    pre: Pre = None,
    pre_globs: PreGlobs = None,
    timeout: Timeout = None,
) -> None:
    """Show the passages that files are cut into. Nothing is written.

    Exit status: 0 there are some, 1 there are none, 2 an error or no file could be read.
    """
    from qrank import standalone

    wanted = walking(
        no_ignore=no_ignore,
        hidden=hidden,
        include_secrets=include_secrets,
        globs=globs,
        types=types,
        max_filesize=max_filesize,
        whole_home=True,
    )
    plans = standalone.plan(paths, walking=wanted, reading=reading(fields, pre, pre_globs, timeout))
    raise typer.Exit(show(plans, as_json=as_json, as_jsonl=as_jsonl))


def show(
    plans: Iterable[FilePlan],
    *,
    as_json: bool = False,
    as_jsonl: bool = False,
    counts: bool = False,
) -> int:
    """Print what was planned, the reasons of files left out on stderr; returns the exit status."""
    from qrank.cli.output import json_output, render

    passages = tokens = refused = read = 0
    documents = []
    secrets = []
    for plan in plans:
        if plan.reason:
            refused += 1
            if plan.secret:
                secrets.append(plan.path)
            else:
                render.left_out(plan.path, plan.reason)
        else:
            read += 1
            if plan.note:
                render.left_out(plan.path, plan.note, partly=True)
            if not plan.chunks and not counts:
                render.warn(f"no text in {render.short_path(plan.path)}")
        passages += len(plan.chunks)
        if as_json:
            documents.append(json_output.file_plan(plan))
        elif as_jsonl:
            for chunk in plan.chunks:
                json_output.line(json_output.chunk(plan, chunk))
        elif counts and not plan.reason:
            held = sum(map(plan.tokens, plan.chunks))
            render.file_count(plan, held)
            tokens += held
        elif not plan.reason:
            render.file_plan(plan)
    render.secrets_skipped(secrets)
    if as_json:
        json_output.document({"schema": json_output.SCHEMA, "files": documents})
    elif counts and read > 1:
        print(f"{read} files: {passages} passages, ~{tokens} tokens")
    if not read and not refused:
        render.warn(
            "no file was found: ignored and hidden ones are left out (--no-ignore, --hidden)"
        )
    return 0 if passages else 2 if refused else 1
