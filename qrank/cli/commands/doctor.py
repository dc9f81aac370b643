"""qrank doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from qrank import json_form
from qrank.cli.state import current


def doctor(
    index: Annotated[
        bool, typer.Option("--index", help="Check the index file for damage and missing data.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check this machine and its models, or the index.

    Suggests a fix for each problem.

    Exit status: 0 no check failed, 1 one did.
    """
    from qrank.cli.output import json_output, render

    with current().open_index() as opened, render.stages() as progress:
        if index:
            progress.stage("checking the index", None)
            checks = opened.check()
        else:
            checks = list(opened.examine(progress))
    shown = json_form.checks(checks)
    if as_json:
        json_output.document(shown)
    else:
        render.checks(checks)
    raise typer.Exit(0 if shown["ok"] else 1)
