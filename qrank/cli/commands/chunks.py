"""qrank chunks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qrank.cli.input import file_options


def chunks(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files and folders.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object per chunk.")
    ] = False,
    no_ignore: file_options.NoIgnore = False,
    hidden: file_options.Hidden = False,
    include_secrets: file_options.IncludeSecrets = False,
    globs: file_options.Globs = None,
    types: file_options.Types = None,
    max_filesize: file_options.MaxFilesize = None,
    archives: file_options.Archives = False,
    ocr: file_options.Ocr = False,
    ocr_language: file_options.OcrLanguage = None,
    fields: file_options.Fields = None,
    pre: file_options.Pre = None,
    pre_globs: file_options.PreGlobs = None,
    timeout: file_options.Timeout = None,
) -> None:
    """Show the chunks that files are split into. Nothing is written.

    Exit status: 0 there are chunks, 1 there are none, 2 an error, or no file could be read.
    """
    from qrank import standalone
    from qrank.cli.output import plans

    walking = file_options.walking(
        no_ignore=no_ignore,
        hidden=hidden,
        include_secrets=include_secrets,
        globs=globs,
        types=types,
        max_filesize=max_filesize,
        whole_home=True,
    )
    planned = standalone.plan(
        paths,
        walking=walking,
        reading=file_options.reading(
            fields,
            pre,
            pre_globs,
            timeout,
            include_secrets=include_secrets,
            archives=archives,
            ocr=ocr,
            ocr_language=ocr_language,
        ),
    )
    raise typer.Exit(plans.show(planned, as_json=as_json, as_jsonl=as_jsonl))
