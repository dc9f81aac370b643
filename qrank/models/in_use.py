"""Which models are in use and why, and whether there is a better one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qrank.errors import ModelError
from qrank.models.registry import Entry, Registry, Role
from qrank.settings import AUTO

MADE_WITH, BEST, NAMED = (
    "the index was made with it",
    "auto: the best that is installed",
    "named by an option, the environment or a config file",
)


def about(
    models: Registry, embed_name: str, rerank_name: str, status: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The models in use, as `qrank status --json` has them. status: the models of the index's
    vectors, from the same JSON."""
    stored = str(status[0]["name"]) if status else None
    return {
        "in_use": {
            "embedder": of_role(models, Role.embedder, embed_name, stored),
            "reranker": of_role(models, Role.reranker, rerank_name, None, stored),
        }
    }


def of_role(
    models: Registry, role: Role, requested: str, stored: str | None, behind: str | None = None
) -> dict[str, Any]:
    """A model in use, as `qrank status --json` has it: its name, why it is used, and a better one
    (whether it is installed, and the command to use it) or None.

    requested: the name in the options or settings. stored: the model that the index was made with.
    behind: for a reranker, the embedder.
    """
    name = stored or requested
    why = MADE_WITH if stored else BEST if requested == AUTO else NAMED
    try:
        entry = models.resolve(role, name).entry
    except ModelError as error:
        return {"model": name, "why": why, "error": str(error), "better": None}
    better = models.better_than(entry)
    result: dict[str, Any] = {"model": entry.alias if name == AUTO else name, "why": why}
    if behind in entry.not_behind and requested == AUTO:
        result["why"] += f"; run only with --rerank: it does not help behind {behind}"
    if better is None:
        return result | {"better": None}
    return result | {
        "better": {
            "model": better.alias,
            "installed": better.installed,
            "download_bytes": better.download_bytes,
            "command": command(better),
        }
    }


def command(entry: Entry) -> str:
    """The command that pulls a model or, if it is installed, uses it."""
    if not entry.installed:
        return f"qrank models pull {entry.alias}"
    if entry.role is Role.embedder:
        return f"qrank index --embed-model {entry.alias} FOLDER"
    return "qrank search QUERY"
