"""The models known by name (registry.toml), and which file a name means. Downloads nothing."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from qrank.errors import ModelError

_HERE = Path(__file__).parent
AUTO = "auto"


class Role(StrEnum):
    """What a model is wanted for."""

    embedder = "embedder"
    reranker = "reranker"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the registry. The weights are explained at its top; 0.5 and 1.0 stand for
    models that nobody has measured."""

    role: Role
    alias: str
    source: str = "bundled"
    bundled: str = ""
    preference: int = 0
    fusion_weight: float = 0.5
    rerank_weight: float = 1.0

    @property
    def path(self) -> Path:
        """Where the file lies when it is installed."""
        if self.bundled:
            return _HERE / self.bundled
        return models_folder() / self.source.rsplit("/", 1)[-1]

    @property
    def installed(self) -> bool:
        """Whether the file is there."""
        return self.path.is_file()


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that was found: the name it goes by, its file, and its registry entry."""

    name: str
    path: Path
    entry: Entry


@cache
def entries() -> tuple[Entry, ...]:
    """All lines of the registry, in its order."""
    table: dict[str, list[dict[str, Any]]] = tomllib.loads(
        (_HERE / "registry.toml").read_text("utf-8")
    )
    return tuple(Entry(role=Role(role), **line) for role in Role for line in table[role])


def models_folder() -> Path:
    """The user's folder of model files."""
    from platformdirs import user_data_path

    return user_data_path("qrank", appauthor=False) / "models"


def resolve(role: Role, name: str) -> ModelChoice:
    """Find the file that name means: `auto`, an alias, `hf:OWNER/REPO/FILE.gguf`, or a path.

    Raises ModelError when it is unknown or not installed.
    """
    known = [entry for entry in entries() if entry.role is role]
    if name == AUTO:
        best = max((e for e in known if e.installed), key=lambda e: e.preference, default=None)
        if best is None:
            raise ModelError(f"no {role} is installed", hint="reinstall qrank")
        return ModelChoice(best.alias, best.path, best)
    if name.startswith(("http://", "https://")):
        raise ModelError(f"{name}: models on a server are not supported yet")
    for entry in known:
        if name in (entry.alias, entry.source):
            if not entry.installed:
                raise ModelError(f"the {role} {name} is not installed", hint=how_to_install(entry))
            return ModelChoice(entry.alias, entry.path, entry)
    if name.startswith("hf:"):
        custom = Entry(role, name, source=name)
        if not custom.installed:
            raise ModelError(f"the {role} {name} is not installed", hint=how_to_install(custom))
        return ModelChoice(name, custom.path, custom)
    if name.endswith(".gguf") or "/" in name:
        path = Path(name).expanduser().absolute()
        if not path.is_file():
            raise ModelError(f"there is no model file {path}")
        same = next((e for e in known if e.installed and e.path.samefile(path)), None)
        return ModelChoice(str(path), path, same or Entry(role, str(path), source=str(path)))
    choices = ", ".join(entry.alias for entry in known)
    raise ModelError(
        f"unknown {role} {name!r}", hint=f"name a .gguf file, auto, or one of: {choices}"
    )


def how_to_install(entry: Entry) -> str:
    """One phrase that tells where a model's file comes from and where it goes."""
    _, _, place = entry.source.partition("hf:")
    repository, _, file = place.rpartition("/")
    return f"put {file} (Hugging Face: {repository}) into {models_folder()}"


def better_than(choice: ModelChoice) -> Entry | None:
    """The least of the registry's models that `auto` would prefer to choice, if there is one."""
    role, preference = choice.entry.role, choice.entry.preference
    better = [e for e in entries() if e.role is role and e.preference > preference]
    return min(better, key=lambda e: e.preference, default=None) if choice.entry.bundled else None
