"""What a shell may complete: names of collections, models, types. It never fails, it only knows."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from qrank.errors import QrankError


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
