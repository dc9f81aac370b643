"""qrank doctor."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from qrank.cli.options import common


def doctor(
    index: Annotated[
        bool, typer.Option("--index", help="Check the index file: is all of it there?")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check that all is well, and say what to do where it is not.

    Exit status: 0 it is, 1 something is broken.
    """
    from qrank import api
    from qrank.cli import emit, render

    with api.Index(common.db) as opened:  # there is nothing else to check yet
        checks = opened.check()
    ok = all(check.status != "fail" for check in checks)
    if as_json:
        emit.document({"ok": ok, "checks": [asdict(check) for check in checks]})
    else:
        render.checks(checks)
    raise typer.Exit(0 if ok else 1)
