"""Where things are and what is preset: the index file, the config files, the environment.

A flag beats the environment, which beats the project's config, which beats the user's.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qrank import files
from qrank.errors import InputError

PROJECT_FOLDER = ".qrank"
INDEX_NAME = "index.db"
CONFIG_NAME = "config.toml"
_EXCLUDES_FILE = re.compile(r"^\s*excludesfile\s*=\s*\"?(.+?)\"?\s*$", re.IGNORECASE | re.MULTILINE)
NUMBERS = {  # the least and the most: llama.cpp aborts with more threads, or negative ones
    "threads": (1, 512),
    "gpu_layers": (0, 1_000_000),
}
MODELS = ("embedder", "reranker")  # tables of models (models/registry.toml has their fields)
KEYS = (
    *("db", "embed_model", "rerank_model", "collection", "color", "hyperlink_format"),
    *("device", *NUMBERS),
)


def checked_number(key: str, said: str, value: str) -> int:
    """The value of one of NUMBERS; said: what the user knows it as. Raises InputError."""
    least, most = NUMBERS[key]
    # The length first: int() refuses thousands of digits.
    if not value.isdecimal() or len(value) > 18 or not least <= int(value) <= most:
        raise InputError(f"{said} takes a whole number from {least} to {most}, not {value!r}")
    return int(value)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs. threads: None for one a physical core. gpu_layers: how many of the
    model's layers go to the GPU, None for all where llama.cpp was built for one, 0 for none.
    device: llama.cpp's name of the one to use, or cpu; None for all that it finds."""

    threads: int | None = None
    gpu_layers: int | None = None
    device: str | None = None


ANYWHERE = Placement()


MAX_FILESIZE = 32 << 20
TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read. It crosses into the worker processes."""

    fields: tuple[str, ...] = ()  # of records (JSONL, CSV): which to index; empty: chosen by name
    pre: tuple[str, ...] = ()  # a command that turns a file into text on its stdout
    pre_globs: tuple[str, ...] = ()  # for which files; empty: for all
    timeout: float = TIMEOUT  # seconds of CPU for one file that is not plain text


@dataclass(frozen=True, slots=True)
class Walking:
    """Which files are found."""

    ignore: bool = True  # honour ignore files
    global_ignores: tuple[Path, ...] = ()  # the user's ignore files for everywhere
    hidden: bool = False  # also files and folders whose name begins with a dot
    globs: tuple[str, ...] = ()  # as ripgrep's -g: a later one wins, "!" leaves out
    types: tuple[str, ...] = ()  # formats by name, or suffixes
    max_filesize: int = MAX_FILESIZE  # bytes; larger files are left out
    whole_home: bool = False  # the home folder itself, or one above it, may be a root


READ_ALL = Reading()
WALK_ALL = Walking()


@dataclass(frozen=True, slots=True)
class Settings:
    """The presets in force for a working folder."""

    values: dict[str, str]
    project: Path | None  # the .qrank folder whose index is used
    # the user's own models by role: each one's table, and the file that says so
    models: dict[str, list[tuple[dict[str, Any], Path]]] = field(default_factory=dict)

    def get(self, key: str, flag: str | None = None, default: str | None = None) -> str | None:
        """A flag's value, else what is preset under key, else default."""
        return flag if flag is not None else self.values.get(key, default)

    def placement(self, flags: Placement) -> Placement:
        """Where models run: what flags leave open is filled from the presets.

        Raises InputError for a number that is out of range.
        """
        numbers: dict[str, int] = {}
        for name in NUMBERS:
            flag, preset = getattr(flags, name), self.values.get(name)
            if flag is not None:
                numbers[name] = checked_number(name, name, str(flag))
            elif preset is not None:
                numbers[name] = checked_number(name, f"the setting {name}", preset)
        return Placement(device=self.get("device", flags.device), **numbers)

    def index_path(self, flag: Path | None = None) -> Path:
        """The index file: --db or QRANK_DB, else the nearest project's, else the user's own."""
        named = self.get("db", str(flag) if flag is not None else None)
        if named:
            if "\0" in named:
                raise InputError(f"no file can be named {named!r}", hint="name another with --db")
            return Path(named).expanduser()
        if self.project:
            return self.project / INDEX_NAME
        from platformdirs import user_data_path

        return user_data_path("qrank", appauthor=False) / INDEX_NAME


def load(folder: Path | None = None) -> Settings:
    """Read what is preset for a working folder (this one by default).

    Raises InputError for a config file that is no TOML or has a key that does not exist.
    """
    folder = (folder or Path.cwd()).absolute()
    project = next(
        (
            place / PROJECT_FOLDER
            for place in (folder, *folder.parents)
            if (place / PROJECT_FOLDER / INDEX_NAME).is_file()
        ),
        None,
    )
    models: dict[str, list[tuple[dict[str, Any], Path]]] = {role: [] for role in MODELS}
    values = _read(user_file(), models)
    if project:
        own = _read(project / CONFIG_NAME, models)
        _require_no_servers(own, models, project / CONFIG_NAME)
        values |= own
    environment = {key: os.environ.get(f"QRANK_{key.upper()}") for key in KEYS}
    values |= {key: value for key, value in environment.items() if value}
    return Settings(values, project, models)


def user_file() -> Path:
    """Where the user's own settings are."""
    from platformdirs import user_config_path

    return user_config_path("qrank", appauthor=False) / CONFIG_NAME


def write(path: Path, key: str, value: str | None) -> None:
    """Set a key in a settings file, keeping the rest of it as it is; None takes it out.

    Raises InputError for a value that the setting can't have, or a file that can't be written.
    """
    import tomlkit

    if value is not None and key in NUMBERS:
        checked_number(key, f"the setting {key}", value)
    _read(path, {role: [] for role in MODELS})  # what is there is right, or is said to be wrong
    try:
        text = path.read_text("utf-8") if path.exists() else ""
        table = tomlkit.parse(text)
        if value is None:
            table.pop(key, None)
        else:
            table[key] = int(value) if key in NUMBERS else value
        files.write_text(path, tomlkit.dumps(table))
    except OSError as error:
        raise InputError(f"can't write {path}: {files.reason(error)}") from error


def with_global_ignores(walking: Walking) -> Walking:
    """The same, with the user's ignore files for everywhere unless ignore files are off."""
    if not walking.ignore:
        return walking
    return replace(walking, global_ignores=tuple(global_ignore_files()))


def global_ignore_files() -> list[Path]:
    """The user's ignore files for everywhere: git's (core.excludesFile), then qrank's own."""
    from platformdirs import user_config_path

    home = Path.home()
    configs = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    named = ""
    for config in (configs / "git" / "config", home / ".gitconfig"):
        try:
            found = _EXCLUDES_FILE.findall(config.read_text("utf-8", "replace"))
        except OSError:
            continue
        named = found[-1] if found else named
    return [
        Path(named).expanduser() if named else configs / "git" / "ignore",
        user_config_path("qrank", appauthor=False) / "ignore",
    ]


def _require_no_servers(
    values: dict[str, str], models: dict[str, list[tuple[dict[str, Any], Path]]], path: Path
) -> None:
    """Raise InputError when a project's config names a server: a folder that came from elsewhere
    must not choose where texts and keys are sent."""
    lines = [line for role in MODELS for line, origin in models[role] if origin == path]
    named = [str(values.get(key, "")) for key in ("embed_model", "rerank_model")]
    named += [str(line.get(field, "")) for line in lines for field in ("source", "server")]
    if any(name.startswith("http") for name in named) or any("key" in line for line in lines):
        raise InputError(
            f"{path}: a project can't name a server",
            hint="put it into your own config.toml, or name it with a flag",
        )


def _read(path: Path, models: dict[str, list[tuple[dict[str, Any], Path]]]) -> dict[str, str]:
    """A config file's presets; the models it names are added to models."""
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no valid TOML: {error}") from error
    for role in MODELS:
        lines = table.pop(role, [])
        if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
            raise InputError(f"{path}: models stand in tables headed [[{role}]]")
        models[role] += [(line, path) for line in lines]
    for key, value in table.items():
        if key not in KEYS:
            raise InputError(f"{path}: there is no setting {key!r}", hint=f"use {', '.join(KEYS)}")
        if not isinstance(value, int if key in NUMBERS else str) or isinstance(value, bool):
            wanted = "a number" if key in NUMBERS else "a string"
            raise InputError(f"{path}: the setting {key!r} must be {wanted}")
    if "db" in table:  # relative to the file that says so
        table["db"] = str(path.parent / Path(table["db"]).expanduser())
    return {key: str(value) for key, value in table.items()}
