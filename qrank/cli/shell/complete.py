"""What a shell may complete: names of collections, models, types. Errors complete nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import typer

from qrank.errors import QrankError

COLLECTION_KEYS = ("description", "ignore", "instruction")  # what can be set of a collection


def candidates(command: Any, run: Any) -> Iterator[tuple[str, str]]:
    """(what may stand for the word that is being typed, its help), for what a script of
    completions.py says in COMP_WORDS and COMP_CWORD. Nothing where a file is meant: the shell
    knows those."""
    from typer._click.shell_completion import (  # typer is pinned below 0.29
        _resolve_context,
        _resolve_incomplete,
        split_arg_string,
    )

    words = split_arg_string(run.environment.get("COMP_WORDS", ""))
    at = int(run.environment.get("COMP_CWORD", len(words)))
    before = [word for word in words[1:at] if word != "="]  # bash splits words there
    incomplete = words[at] if at < len(words) else ""
    context = _resolve_context(command, {"obj": run}, "qrank", before)
    target, incomplete = _resolve_incomplete(context, before, incomplete)
    for item in target.shell_complete(context, incomplete):
        if item.type == "plain":
            yield str(item.value), " ".join((item.help or "").split())


def collections(context: typer.Context, incomplete: str) -> list[str]:
    """The collections of the index that the line so far names, or that is used here."""
    try:
        with context.obj.open_index() as index:
            return _beginning(incomplete, (c["name"] for c in index.status()["collections"]))
    except (QrankError, OSError):
        return []


def embedders(context: typer.Context, incomplete: str) -> list[str]:
    """The embedding models that have a name."""
    return _models(context, "embedder", incomplete)


def rerankers(context: typer.Context, incomplete: str) -> list[str]:
    """The rerankers that have a name."""
    return _models(context, "reranker", incomplete)


def models(context: typer.Context, incomplete: str) -> list[str]:
    """All models that have a name."""
    return _beginning(
        incomplete, dict.fromkeys(entry.alias for entry in context.obj.models.entries)
    )


def types(incomplete: str) -> list[str]:
    """The formats of files."""
    from qrank.standalone import formats

    return _beginning(incomplete, formats())


def fields(context: typer.Context, incomplete: str) -> list[str]:
    """The fields of the index, for a condition to begin with."""
    from qrank.analysis.fields import OF_FILE

    try:
        with context.obj.open_index() as index:
            names = [field.name for field in index.fields()]
    except (QrankError, OSError):
        names = []
    return _beginning(incomplete, dict.fromkeys([*names, *OF_FILE]))


def links(incomplete: str) -> list[str]:
    """The formats of hyperlinks that have a name."""
    from qrank.cli.output.hyperlinks import FORMATS

    return _beginning(incomplete, FORMATS)


def commands(context: typer.Context, incomplete: str) -> list[str]:
    """The commands."""
    from qrank.cli.shell import manual

    words = (name.split()[1:] for name, _ in manual.commands(context.find_root().command))
    return _beginning(incomplete, (name[0] for name in words if len(name) == 1))


def collection_keys(incomplete: str) -> list[str]:
    """What can be set of a collection."""
    return _beginning(incomplete, COLLECTION_KEYS)


def schemas(incomplete: str) -> list[str]:
    """The names of JSON schemas."""
    from qrank import json_form

    return _beginning(incomplete, json_form.schema_names())


def settings(incomplete: str) -> list[str]:
    """The names of settings."""
    from qrank.config import KEYS

    return _beginning(incomplete, KEYS)


def _models(context: typer.Context, role: str, incomplete: str) -> list[str]:
    from qrank.models.registry import AUTO

    names = (entry.alias for entry in context.obj.models.entries if entry.role == role)
    return _beginning(incomplete, [AUTO, *names])


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    """Of names those that begin so; none that a shell would have to quote."""
    return [
        name
        for name in names
        if name.startswith(incomplete) and all(c.isalnum() or c in "._-+@" for c in name)
    ]
