"""Completions for shells: names of collections, models, types. On errors there are none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import typer

from qrank.errors import QrankError

COLLECTION_KEYS = ("description", "ignore", "instruction")  # what can be set of a collection


def candidates(command: Any, run: Any) -> Iterator[tuple[str, str]]:
    """(completion, help) for the word that is being typed, which a script of completions.py passes
    in COMP_WORDS and COMP_CWORD. None for file names, which the shell completes itself."""
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
    """The collections of the index that the command line names, or of the default one."""
    try:
        with context.obj.open_index() as index:
            return _beginning(incomplete, (c["name"] for c in index.status()["collections"]))
    except (QrankError, OSError):
        return []


def embedders(context: typer.Context, incomplete: str) -> list[str]:
    """The aliases of embedding models."""
    return _models(context, "embedder", incomplete)


def rerankers(context: typer.Context, incomplete: str) -> list[str]:
    """The aliases of rerankers."""
    return _models(context, "reranker", incomplete)


def models(context: typer.Context, incomplete: str) -> list[str]:
    """The aliases of all models."""
    return _beginning(
        incomplete, dict.fromkeys(entry.alias for entry in context.obj.models.entries)
    )


def types(incomplete: str) -> list[str]:
    """The names of file formats."""
    from qrank.standalone import formats

    return _beginning(incomplete, formats())


def fields(context: typer.Context, incomplete: str) -> list[str]:
    """The fields of the index, for the start of a condition."""
    from qrank.analysis.fields import OF_FILE

    try:
        with context.obj.open_index() as index:
            names = [field.name for field in index.fields()]
    except (QrankError, OSError):
        names = []
    return _beginning(incomplete, dict.fromkeys([*names, *OF_FILE]))


def links(incomplete: str) -> list[str]:
    """The names of hyperlink formats."""
    from qrank.cli.output.hyperlinks import FORMATS

    return _beginning(incomplete, FORMATS)


def commands(context: typer.Context, incomplete: str) -> list[str]:
    """The commands."""
    from qrank.cli.shell import manual

    words = (name.split()[1:] for name, _ in manual.commands(context.find_root().command))
    return _beginning(incomplete, (name[0] for name in words if len(name) == 1))


def collection_keys(incomplete: str) -> list[str]:
    """The settings of a collection."""
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
    from qrank.settings import AUTO

    names = (entry.alias for entry in context.obj.models.entries if entry.role == role)
    return _beginning(incomplete, [AUTO, *names])


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    """The names that start with incomplete, except those that a shell would have to quote."""
    return [
        name
        for name in names
        if name.startswith(incomplete) and all(c.isalnum() or c in "._-+@" for c in name)
    ]
