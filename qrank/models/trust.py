"""The model servers that the user has named before. An index file may come from someone else, and
must not decide where queries, documents and keys are sent."""

from __future__ import annotations

import json
from pathlib import Path

from qrank import files
from qrank.errors import InputError
from qrank.models.places import models_folder
from qrank.models.registry import Entry
from qrank.urls import parse_all


def add(entry: Entry) -> None:
    """Record that the user named an entry's servers."""
    trusted, new = _trusted(), _origins(entry)
    if new <= trusted:
        return
    files.write_text(_file(), json.dumps(sorted(trusted | new)))


def require(entry: Entry) -> None:
    """Raise InputError unless the user has named all of an entry's servers before."""
    unknown = _origins(entry) - _trusted()
    if unknown:
        raise InputError(
            f"the index would send texts to {', '.join(sorted(unknown))}, a server that you have "
            "not used before",
            hint=f"to allow it, use --embed-model {entry.server}",
        )


def _origins(entry: Entry) -> set[str]:
    return {url.origin for url in parse_all(entry.server)}


def _trusted() -> set[str]:
    try:
        return set(json.loads(_file().read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return set()


def _file() -> Path:
    return models_folder() / "servers.json"
