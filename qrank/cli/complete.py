"""What a shell may complete: names of collections and of models. It never fails, it only knows."""

from __future__ import annotations

from collections.abc import Iterable

from qrank.errors import QrankError


def collections(incomplete: str) -> list[str]:
    """The collections of the index that the line so far names, or that is used here."""
    from qrank import api
    from qrank.cli.options import common

    try:
        with api.Index(common.db) as index:
            return _beginning(incomplete, (c["name"] for c in index.status()["collections"]))
    except (QrankError, OSError):
        return []


def embedders(incomplete: str) -> list[str]:
    """The embedding models that have a name."""
    return _models("embedder", incomplete)


def rerankers(incomplete: str) -> list[str]:
    """The rerankers that have a name."""
    return _models("reranker", incomplete)


def settings(incomplete: str) -> list[str]:
    """The names of settings."""
    from qrank.settings import KEYS

    return _beginning(incomplete, KEYS)


def _models(role: str, incomplete: str) -> list[str]:
    from qrank.models.registry import AUTO, entries

    names = (entry.alias for entry in entries() if entry.role == role)
    return _beginning(incomplete, [AUTO, *names])


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    """Of names those that begin so; none that a shell would have to quote."""
    return [
        name
        for name in names
        if name.startswith(incomplete) and all(c.isalnum() or c in "._-+@" for c in name)
    ]
