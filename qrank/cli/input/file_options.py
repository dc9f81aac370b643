"""The options of commands that read files: which files to read, and how."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from qrank.cli.input import words
from qrank.cli.options import MOST_SECONDS, number
from qrank.cli.shell import complete
from qrank.cli.state import current
from qrank.errors import InputError
from qrank.settings import MAX_FILESIZE, TIMEOUT, Reading, Walking

MOST_BYTES = 1 << 50
OCR_LANGUAGE = "eng"
_SIZE = re.compile(r"(\d+)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)

NoIgnore = Annotated[
    bool, typer.Option("--no-ignore", help="Do not respect .gitignore and other ignore files.")
]
Hidden = Annotated[bool, typer.Option("--hidden", help="Include hidden files and folders.")]
IncludeSecrets = Annotated[
    bool, typer.Option("--include-secrets", help="Include files with keys or passwords.")
]
Globs = Annotated[
    list[str] | None,
    typer.Option("-g", "--glob", metavar="GLOB", help="Only files that match; !GLOB excludes."),
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
    str | None,
    typer.Option("--max-filesize", metavar="SIZE", help="Skip larger files. [default: 32M]"),
]
Archives = Annotated[
    bool, typer.Option("--archives", help="Also read documents in zip and tar archives.")
]
Ocr = Annotated[
    bool,
    typer.Option("--ocr", help="Also read text in pictures and scanned pages, with tesseract."),
]
OcrLanguage = Annotated[
    str | None,
    typer.Option(
        "--ocr-language",
        metavar="LANG",
        help="Languages for --ocr, such as deu+fra. [default: eng]",
    ),
]
Fields = Annotated[
    str | None,
    typer.Option(
        "--fields",
        rich_help_panel="What to read",
        metavar="NAME,…",
        help="Read only these fields of JSONL and CSV files.",
    ),
]
Pre = Annotated[
    str | None,
    typer.Option(
        "--pre", metavar="COMMAND", help="Index what COMMAND FILE prints, instead of each file."
    ),
]
PreGlobs = Annotated[
    list[str] | None,
    typer.Option("--pre-glob", metavar="GLOB", help="Use --pre only for files that match."),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        parser=number("--timeout", 0.1, MOST_SECONDS),
        metavar="SECONDS",
        help="Time limit per file. [default: 60]",
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
    """The Walking (which files to read) that the options and settings ask for."""
    size = MAX_FILESIZE if max_filesize is None else _bytes(max_filesize)
    return Walking(
        ignore=not no_ignore,
        global_ignores=current().settings.global_ignores,
        git_excludes=current().settings.git_excludes,
        ignore_case=current().settings.ignore_case,
        hidden=hidden,
        include_secrets=include_secrets,
        globs=tuple(globs or ()),
        types=tuple(types or ()),
        max_filesize=size,
        home=None if whole_home else current().settings.home,
    )


def reading(
    fields: str | None,
    pre: str | None,
    pre_globs: list[str] | None,
    timeout: float | None,
    *,
    include_secrets: bool = False,
    archives: bool = False,
    ocr: bool = False,
    ocr_language: str | None = None,
) -> Reading:
    """The Reading (how to read files) that the options ask for. Raises InputError for options that
    are not valid together."""
    try:
        command = tuple(words.split(pre or ""))
    except ValueError as error:
        raise InputError(f"--pre {pre!r} is not a valid command: {error}") from error
    if pre is not None and not command:
        raise InputError("--pre needs a command")
    if pre_globs and not command:
        raise InputError("--pre-glob needs --pre", hint="name the command to run")
    names = tuple(name.strip() for name in (fields or "").split(",") if name.strip())
    return Reading(
        names,
        command,
        tuple(pre_globs or ()),
        timeout or TIMEOUT,
        ocr=_ocr(ocr, ocr_language),
        archives=archives,
        include_secrets=include_secrets,
    )


def _ocr(flag: bool, language: str | None) -> str:
    if not flag:
        if language is not None:
            raise InputError("--ocr-language goes with --ocr")
        return ""
    return language or OCR_LANGUAGE


def _bytes(value: str) -> int:
    match = _SIZE.fullmatch(value.strip())
    if not match:
        raise InputError(f"--max-filesize takes a size like 500K, 32M or 2G, not {value!r}")
    # Limit the length: int() raises for thousands of digits.
    size = int(match[1][:20]) << (10 * " kmgt".index(match[2].lower() or " "))
    if size > MOST_BYTES:
        raise InputError(f"--max-filesize takes a size up to 1024T, not {value!r}")
    return size
