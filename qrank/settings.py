"""The settings: which files to read and how, where models run, and a user's settings. config.py
reads them from files and the environment."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import NoneType
from typing import Any

from qrank.arguments import require_number, require_type, text_list
from qrank.errors import InputError
from qrank.files import user_folder
from qrank.names import move_of
from qrank.urls import IndexPlace, IndexUrl, index_place

INDEX_NAME = "index.db"
AUTO = "auto"  # as the name of a model: the best that is installed
BETWEEN_MAPPED = ";"  # separates two OLD=NEW of the setting map
MOST = 1_000_000  # the highest limit of results, candidates, lines or tokens
MOST_SECONDS = 100_000.0
NUMBERS = {  # settings that are integers: (least, most)
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
DEFAULTS = {  # some are descriptions, for settings without a value by default
    "embed_model": AUTO,
    "rerank_model": AUTO,
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
    """Parse the value of one of NUMBERS. name: of the setting or option, for the error. Raises
    InputError."""
    least, most = NUMBERS[key]
    # Check the length first: int() raises for thousands of digits.
    if not value.isdecimal() or len(value) > 18 or not least <= int(value) <= most:
        raise InputError(f"{name} takes a whole number from {least} to {most}, not {value!r}")
    return int(value)


def checked_seconds(key: str, name: str, value: str) -> float:
    """Parse the value of one of SECONDS. name: of the setting or option, for the error. Raises
    InputError."""
    least, most = SECONDS[key]
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not least <= seconds <= most:  # also raises for nan
        raise InputError(f"{name} takes a number from {least:g} to {most:g}, not {value!r}")
    return seconds


def check(key: str, value: str) -> None:
    """Raise InputError for an invalid value of a setting."""
    if key in NUMBERS:
        checked_number(key, f"the setting {key}", value)
    elif key in SECONDS:
        checked_seconds(key, f"the setting {key}", value)
    elif key in CHOICES and value not in CHOICES[key]:
        raise InputError(f"{key} must be one of {', '.join(CHOICES[key])}, not {value!r}")


def moves(text: str) -> tuple[tuple[str, str], ...]:
    """The value of the setting `map`: folders of an index that others made, with where those are on
    this machine. Raises InputError."""
    try:
        return tuple(move_of(each) for each in text.split(BETWEEN_MAPPED) if each)
    except ValueError as error:
        raise InputError(f"the setting map {error}") from error


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs. threads: None: one per physical core. gpu_layers: the number of layers on
    the GPU; None: all, if llama.cpp was built for a GPU. device: llama.cpp's name of a device, or
    cpu; None: all devices."""

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
    """How files are read. It is sent to the worker processes."""

    fields: tuple[str, ...] = ()  # of records (JSONL, CSV) to index; (): selected by their names
    pre: tuple[str, ...] = ()  # a command that prints a file as text
    pre_globs: tuple[str, ...] = ()  # the files for which pre is used; (): all
    timeout: float = TIMEOUT  # seconds of CPU for one file that is not plain text
    ocr: str = ""  # languages for OCR, as in tesseract; "": no OCR
    archives: bool = False  # also read documents in archives (zip, tar)
    include_secrets: bool = False  # also read members of archives that contain keys or passwords

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for an invalid value; a single text means a tuple of
        one."""
        for name in ("fields", "pre", "pre_globs"):
            _set_texts(self, name)
        require_number("timeout", self.timeout, least=0)
        require_type("include_secrets", self.include_secrets, bool)


@dataclass(frozen=True, slots=True)
class Walking:
    """Which files are indexed."""

    ignore: bool = True  # respect ignore files
    global_ignores: tuple[Path, ...] = ()  # the user's global ignore files
    git_excludes: Path | None = None  # git's global ignore file (core.excludesFile)
    ignore_case: bool = False  # in rules, unless a repository's config says otherwise
    hidden: bool = False  # also files and folders whose name begins with a dot
    globs: tuple[str, ...] = ()  # as ripgrep's -g: a later one wins, "!" excludes
    types: tuple[str, ...] = ()  # names of formats, or suffixes
    max_filesize: int = MAX_FILESIZE  # bytes; larger files are skipped
    include_secrets: bool = False  # also files that contain keys or passwords (ingest/secrets.py)
    home: Path | None = None  # this folder and those above it can't be roots
    rules: tuple[str, ...] = ()  # ignore rules below each root, which override those of files

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for an invalid value; a single text means a tuple of
        one."""
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
    """The settings. `qrank.load_settings()` reads those of a user; by default there are none."""

    values: Mapping[str, str] = field(default_factory=dict)
    # where each value is set: the path of a config file, or the name of an environment variable
    sources: Mapping[str, str] = field(default_factory=dict)
    project: Path | None = None  # the .qrank folder whose index is used
    # a .qrank folder that is not used because it belongs to another user
    untrusted: Path | None = None
    # the user's models by role: (table, config file) each
    models: ModelTables = field(default_factory=dict)
    global_ignores: tuple[Path, ...] = ()  # as in Walking, also the next three
    git_excludes: Path | None = None
    ignore_case: bool = False
    home: Path | None = None
    api_key: str | None = None  # for model servers without a key of their own

    def get(self, key: str, flag: str | None = None, default: str | None = None) -> str | None:
        """The option's value (flag) if given, else the setting's, else default."""
        return flag if flag is not None else self.values.get(key, default)

    def count(self, key: str, flag: int | None, default: int) -> int:
        """As get, for an integer. Raises InputError."""
        preset = self.values.get(key) if flag is None else None
        if preset is None:
            return default if flag is None else flag
        return checked_number(key, f"the setting {key}", preset)

    def seconds(self, key: str, flag: float | None) -> float | None:
        """As get, for seconds; None if neither is given. Raises InputError."""
        preset = self.values.get(key) if flag is None else None
        return flag if preset is None else checked_seconds(key, f"the setting {key}", preset)

    def choice(self, key: str, flag: str | None) -> str:
        """As get, for one of CHOICES; the default is that of DEFAULTS. Raises InputError."""
        if flag is not None:
            return flag
        preset = self.values.get(key, DEFAULTS[key])
        check(key, preset)
        return preset

    def placement(self, flags: Placement) -> Placement:
        """Where models run: flags, with None replaced by the settings.

        Raises InputError for a number out of range.
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
        """The time limit of a search on a terminal; None (setting: 0) for no limit.

        Raises InputError for a number out of range.
        """
        seconds = self.seconds("answer_seconds", None)
        return float(DEFAULTS["answer_seconds"]) if seconds is None else seconds or None

    def index_path(self, flag: IndexPlace | None = None) -> IndexPlace:
        """The location of the index: --db or the setting db, else the nearest project's, else the
        user's own.

        Raises InputError when the nearest project's folder belongs to another user.
        """
        name = self.get("db", str(flag) if flag is not None else None)
        if name:
            if "\0" in name:
                raise InputError(
                    f"{name!r} is not a valid file name", hint="name another with --db"
                )
            place = index_place(name).expanduser()
            if isinstance(place, Path):
                return place
            given = flag.folders if isinstance(flag, IndexUrl) else ()
            return replace(place, folders=(*given, *moves(self.values.get("map", ""))))
        self.require_trusted()
        if self.project:
            return self.project / INDEX_NAME
        return user_folder("data") / INDEX_NAME

    def require_trusted(self) -> None:
        """Raise InputError when the nearest project's folder belongs to another user."""
        if self.untrusted is None:
            return
        trusted = [*filter(None, [self.values.get("trusted_folders")]), str(self.untrusted.parent)]
        raise InputError(
            f"{self.untrusted} belongs to another user, so it is not used",
            hint="if you trust it: qrank config set trusted_folders "
            f"{shlex.quote(os.pathsep.join(trusted))}; or name an index with --db",
        )


NO_SETTINGS = Settings()
