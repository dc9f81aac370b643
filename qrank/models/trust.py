"""The servers that the user has named: an index file that came from elsewhere must not choose where
queries, documents and keys are sent."""

from __future__ import annotations

import json
from pathlib import Path

from qrank import files
from qrank.errors import InputError
from qrank.models.places import models_folder
from qrank.models.registry import Entry
from qrank.urls import parse_all


def remember(entry: Entry) -> None:
    """Note that the user named an entry's servers."""
    before, new = _known_hosts(), _hosts(entry)
    if new <= before:
        return
    files.write_text(_notes(), json.dumps(sorted(before | new)))


def require(entry: Entry) -> None:
    """Raise InputError unless the user named all of an entry's servers before."""
    strangers = _hosts(entry) - _known_hosts()
    if strangers:
        raise InputError(
            f"the index would send texts to {', '.join(sorted(strangers))}, a server that you have "
            "not used before",
            hint=f"to allow it, use --embed-model {entry.server}",
        )


def _hosts(entry: Entry) -> set[str]:
    return {url.origin for url in parse_all(entry.server)}


def _known_hosts() -> set[str]:
    try:
        return set(json.loads(_notes().read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return set()


def _notes() -> Path:
    return models_folder() / "servers.json"
