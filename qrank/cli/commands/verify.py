"""qrank verify."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import typer

from qrank import json_form
from qrank.chunk_text import Citation
from qrank.errors import InputError


def verify() -> None:
    """Check whether cited texts still match their files.

    Reads JSON Lines from stdin with path, start_byte, end_byte and hash, or what qrank get and
    qrank search print with --json or --jsonl, and prints each with its status: same, moved
    (start_byte and end_byte say where it is now), changed or gone.

    Exit status: 0 all are the same or have moved, 1 some are not, 2 an error.
    """
    from qrank import standalone
    from qrank.cli.output import json_output

    all_match = True
    for number, line in enumerate(sys.stdin.buffer, 1):
        if not line.strip():
            continue
        try:
            items = _items(json.loads(line))
            citations = [_citation(item) for item in items]
        except (ValueError, KeyError, RecursionError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise InputError(
                f"stdin, line {number}: not a citation: {reason}",
                hint="qrank get --jsonl prints some",
            ) from error
        for item, citation in zip(items, citations, strict=True):
            verdict = standalone.verify(citation)
            all_match = all_match and verdict.status in ("same", "moved")
            json_output.line(json_form.verdict(item, verdict))
    raise typer.Exit(0 if all_match else 1)


def _items(line: Any) -> list[Any]:
    """The citations in a line: itself, or the results or chunks of a document of --json."""
    if isinstance(line, dict) and "path" not in line:
        for name in ("results", "chunks"):
            if isinstance(line.get(name), list):
                return list(line[name])
    return [line]


def _citation(item: object) -> Citation:
    """Parse a citation. Raises ValueError or KeyError when it is not valid."""
    if not isinstance(item, Mapping):
        raise ValueError("not a JSON object")
    start, end = (_number(item, name) for name in ("start_byte", "end_byte"))
    path, digest = item["path"], item["hash"]
    member = item.get("member") or ""
    if not isinstance(path, str) or not isinstance(digest, str) or not isinstance(member, str):
        raise ValueError("path, member and hash are strings")
    if "\0" in path or end < start:
        raise ValueError("path or byte range is not valid")
    return Citation(path, start, end, digest, member)


def _number(item: Mapping[str, Any], name: str) -> int:
    value = item[name]
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} is not a whole number")
    return value
