"""Records of settings: how files are found and read, where models run, the presets of a user.
Nothing is read from anywhere here: config.py does that."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

from qrank.arguments import require_number, require_type, text_list
from qrank.errors import InputError
from qrank.urls import IndexPlace, index_place

INDEX_NAME = "index.db"
MOST = 1_000_000  # results, candidates, lines or tokens that may be asked for
MOST_SECONDS = 100_000.0
NUMBERS = {  # whole ones; the least and the most
    "threads": (1, 512),  # llama.cpp aborts with more, or with negative ones
    "gpu_layers": (0, 1_000_000),
    "limit": (1, MOST),
    "candidates": (1, MOST),
    "serve_idle": (0, MOST),  # seconds
    "serve_model_idle": (0, MOST),
}
PLACEMENT = ("threads", "gpu_layers")
SECONDS = dict.fromkeys(("budget", "answer_seconds", "refresh"), (0.0, MOST_SECONDS))
CHOICES = {
    "mode": ("hybrid", "bm25", "vector"),
    "color": ("auto", "always", "never"),
    "serve": ("auto", "start", "off"),
}
DEFAULTS = {  # in words where there is no value that says it
    "embed_model": "auto",
    "rerank_model": "auto",
    "collection": "default",
    "mode": "hybrid",
    "limit": "10",
    "candidates": "30",
    "answer_seconds": "3",
    "refresh": "0",
    "color": "auto",
    "hyperlink_format": "none",
    "threads": "one per physical core",
    "gpu_layers": "all",
    "serve": "auto",
    "serve_idle": "1800",
    "serve_model_idle": "600",
}


def checked_number(key: str, name: str, value: str) -> int:
    """The value of one of NUMBERS; name: what the user knows it as. Raises InputError."""
    least, most = NUMBERS[key]
    # The length first: int() refuses thousands of digits.
    if not value.isdecimal() or len(value) > 18 or not least <= int(value) <= most:
        raise InputError(f"{name} takes a whole number from {least} to {most}, not {value!r}")
    return int(value)


def checked_seconds(key: str, name: str, value: str) -> float:
    """The value of one of SECONDS; name: what the user knows it as. Raises InputError."""
    least, most = SECONDS[key]
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not least <= seconds <= most:  # nor is nan
        raise InputError(f"{name} takes a number from {least:g} to {most:g}, not {value!r}")
    return seconds


def check(key: str, value: str) -> None:
    """Raise InputError for a value that a setting can't have."""
    if key in NUMBERS:
        checked_number(key, f"the setting {key}", value)
    elif key in SECONDS:
        checked_seconds(key, f"the setting {key}", value)
    elif key in CHOICES and value not in CHOICES[key]:
        raise InputError(f"{key} must be one of {', '.join(CHOICES[key])}, not {value!r}")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs. threads: None for one a physical core. gpu_layers: how many of the
    model's layers go to the GPU, None for all where llama.cpp was built for one, 0 for none.
    device: llama.cpp's name of the one to use, or cpu; None for all that it finds."""

    threads: int | None = None
    gpu_layers: int | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        """Raises TypeError for a value of another type."""
        require_type("threads", self.threads, int, NoneType)
        require_type("gpu_layers", self.gpu_layers, int, NoneType)
        require_type("device", self.device, str, NoneType)


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
    ocr: str = ""  # languages of pictures, as tesseract has them; empty: none is read
    archives: bool = False  # what is in archives (zip, tar), too
    include_secrets: bool = False  # also files within files that hold keys or passwords

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for a value that makes no sense; a text alone is one."""
        for name in ("fields", "pre", "pre_globs"):
            _set_texts(self, name)
        require_number("timeout", self.timeout, least=0)
        require_type("include_secrets", self.include_secrets, bool)


@dataclass(frozen=True, slots=True)
class Walking:
    """Which files are found."""

    ignore: bool = True  # honour ignore files
    global_ignores: tuple[Path, ...] = ()  # the user's ignore files for everywhere
    git_excludes: Path | None = None  # git's own (core.excludesFile)
    ignore_case: bool = False  # in rules, outside a repository that says otherwise
    hidden: bool = False  # also files and folders whose name begins with a dot
    globs: tuple[str, ...] = ()  # as ripgrep's -g: a later one wins, "!" leaves out
    types: tuple[str, ...] = ()  # formats by name, or suffixes
    max_filesize: int = MAX_FILESIZE  # bytes; larger files are skipped
    include_secrets: bool = False  # also files that hold keys or passwords (ingest/secrets.py)
    home: Path | None = None  # neither this folder nor one above it may be a root
    rules: tuple[str, ...] = ()  # ignore rules for what is below each root, over those of files

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for a value that makes no sense; a text alone is one."""
        for name in ("globs", "types", "rules"):
            _set_texts(self, name)
        for name in ("ignore", "ignore_case", "hidden", "include_secrets"):
            require_type(name, getattr(self, name), bool)
        require_type("max_filesize", self.max_filesize, int)
        require_type("home", self.home, Path, NoneType)


def _set_texts(record: Reading | Walking, name: str) -> None:
    object.__setattr__(record, name, tuple(text_list(name, getattr(record, name))))


READ_ALL = Reading()
WALK_ALL = Walking()


ModelTables = Mapping[str, Sequence[tuple[Mapping[str, Any], Path]]]


@dataclass(frozen=True, slots=True)
class Settings:
    """The presets in force. `qrank.load_settings()` reads those of a user; without any, nothing
    is preset."""

    values: Mapping[str, str] = field(default_factory=dict)
    # of each value where it is preset: a file's path, or the name of a variable
    sources: Mapping[str, str] = field(default_factory=dict)
    project: Path | None = None  # the .qrank folder whose index is used
    # a .qrank folder that would be used if it were not somebody else's
    untrusted: Path | None = None
    # the user's own models by role: each one's table, and the file that says so
    models: ModelTables = field(default_factory=dict)
    global_ignores: tuple[Path, ...] = ()  # the user's ignore files for everywhere
    git_excludes: Path | None = None  # git's own (core.excludesFile)
    ignore_case: bool = False  # in rules, outside a repository that says otherwise
    home: Path | None = None  # the user's home folder
    api_key: str | None = None  # for servers that have none of their own

    def get(self, key: str, flag: str | None = None, default: str | None = None) -> str | None:
        """A flag's value, else what is preset under key, else default."""
        return flag if flag is not None else self.values.get(key, default)

    def count(self, key: str, flag: int | None, default: int) -> int:
        """A flag's number, else what is preset under key, else default. Raises InputError."""
        preset = self.values.get(key) if flag is None else None
        if preset is None:
            return default if flag is None else flag
        return checked_number(key, f"the setting {key}", preset)

    def seconds(self, key: str, flag: float | None) -> float | None:
        """A flag's seconds, else what is preset under key. Raises InputError."""
        preset = self.values.get(key) if flag is None else None
        return flag if preset is None else checked_seconds(key, f"the setting {key}", preset)

    def choice(self, key: str, flag: str | None) -> str:
        """A flag's choice, else the one that is preset under key, or by default. Raises
        InputError."""
        if flag is not None:
            return flag
        preset = self.values.get(key, DEFAULTS[key])
        check(key, preset)
        return preset

    def placement(self, flags: Placement) -> Placement:
        """Where models run: what flags leave open is filled from the presets.

        Raises InputError for a number that is out of range.
        """
        numbers: dict[str, int] = {}
        for name in PLACEMENT:
            flag, preset = getattr(flags, name), self.values.get(name)
            if flag is not None:
                numbers[name] = checked_number(name, name, str(flag))
            elif preset is not None:
                numbers[name] = checked_number(name, f"the setting {name}", preset)
        return Placement(device=self.get("device", flags.device), **numbers)

    @property
    def answer_seconds(self) -> float | None:
        """What a search on a terminal may take; None for as long as it likes (0).

        Raises InputError for a number that is out of range.
        """
        seconds = self.seconds("answer_seconds", None)
        return float(DEFAULTS["answer_seconds"]) if seconds is None else seconds or None

    def index_path(self, flag: IndexPlace | None = None) -> IndexPlace:
        """The index: --db or QRANK_DB, else the nearest project's, else the user's own.

        Raises InputError when the nearest project's folder belongs to somebody else.
        """
        named = self.get("db", str(flag) if flag is not None else None)
        if named:
            if "\0" in named:
                raise InputError(
                    f"{named!r} is not a valid file name", hint="name another with --db"
                )
            return index_place(named).expanduser()
        self.require_trusted()
        if self.project:
            return self.project / INDEX_NAME
        from platformdirs import user_data_path

        return user_data_path("qrank", appauthor=False) / INDEX_NAME

    def require_trusted(self) -> None:
        """Raise InputError when the nearest project's folder belongs to somebody else."""
        if self.untrusted is None:
            return
        trusted = [*filter(None, [self.values.get("trusted_folders")]), str(self.untrusted.parent)]
        raise InputError(
            f"{self.untrusted} belongs to another user, so it is not used",
            hint="if you trust it: qrank config set trusted_folders "
            f"{shlex.quote(os.pathsep.join(trusted))}; or name an index with --db",
        )


NO_SETTINGS = Settings()
