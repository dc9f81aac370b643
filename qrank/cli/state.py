"""The state of one run of the command line: its common options and the settings."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer._click.globals import get_current_context  # typer is pinned below 0.29

from qrank.errors import InputError
from qrank.settings import CHOICES, Placement
from qrank.urls import IndexPlace

if TYPE_CHECKING:
    from qrank.api import Index
    from qrank.indexes import Indexes
    from qrank.models.registry import Registry
    from qrank.settings import Settings


GONE = "the working folder no longer exists; change to another"
COLOR_CHOICES = CHOICES["color"]


@dataclass
class Run:
    """The values of the common options, and of those for where models run.

    It is click's context object (`obj`); commands get it with `current`.
    """

    root: Callable[..., Any]  # returns qrank's click command (app.root)
    main: Callable[..., int]  # runs the command line again, for sys.argv (app.run)
    opened: Callable[[str], None] | None = None  # called with the path of each index opened
    dbs: tuple[IndexPlace, ...] = ()  # the indexes that --db names
    from_last_search: bool = False  # whether dbs is the index of the last search, not --db
    color: str | None = None
    debug: bool = False
    quiet: bool = False
    verbose: bool = False
    no_serve: bool = False
    threads: int | None = None
    gpu_layers: int | None = None
    device: str | None = None
    started: float = field(default_factory=time.monotonic)
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def db(self) -> IndexPlace | None:
        """The index that --db names. Raises InputError when it names several."""
        if len(set(self.dbs)) > 1:
            raise InputError(
                f"this works on one index, and --db names {len(self.dbs)}",
                hint="only qrank search takes several",
            )
        return self.dbs[0] if self.dbs else None

    @cached_property
    def folder(self) -> str | None:
        """The working folder at the start; None when it was deleted."""
        return working_folder()

    def require_folder(self) -> Path:
        """The working folder. Raises InputError when it was deleted."""
        if self.folder is None:
            raise InputError(GONE)
        return Path(self.folder)

    @cached_property
    def settings(self) -> Settings:
        """The settings for the working folder, read on first use. Raises InputError when they are
        not valid."""
        from qrank.config import load_settings

        return load_settings()

    @cached_property
    def models(self) -> Registry:
        """The registry of models."""
        from qrank.models.registry import Registry

        return Registry(self.settings)

    @property
    def placement(self) -> Placement:
        """Where models run, by the options."""
        return Placement(self.threads, self.gpu_layers, self.device)

    def settings_with_placement(self) -> Settings:
        """The settings, in which the options for where models run replace those values."""
        placement = self.settings.placement(self.placement)
        options = {name: getattr(placement, name) for name in ("threads", "gpu_layers", "device")}
        given = {name: str(value) for name, value in options.items() if value is not None}
        return replace(self.settings, values={**self.settings.values, **given})

    def open_index(
        self, *, embed_model: str | None = None, rerank_model: str | None = None
    ) -> Index:
        """The index of this run. Raises InputError when --db names several."""
        return self._open(self.db, embed_model, rerank_model)

    def open_indexes(
        self, *, embed_model: str | None = None, rerank_model: str | None = None
    ) -> Index | Indexes:
        """The index of this run, or all indexes that --db names."""
        files = list(dict.fromkeys(self.dbs))
        if len(files) < 2:
            return self.open_index(embed_model=embed_model, rerank_model=rerank_model)
        from qrank.indexes import Indexes

        return Indexes([self._open(file, embed_model, rerank_model) for file in files])

    def _open(
        self, file: IndexPlace | None, embed_model: str | None, rerank_model: str | None
    ) -> Index:
        from qrank.api import Index

        index = Index(
            file,
            embed_model=embed_model,
            rerank_model=rerank_model,
            placement=self.placement,
            settings=self.settings,
        )
        if self.opened:
            self.opened(str(index.path.absolute()))
        return index


def is_in_repository(folder: str | None) -> bool:
    """Whether a folder is in a repository of git, Mercurial or Jujutsu."""
    if folder is None:
        return False
    return any(
        (place / name).exists()
        for place in (Path(folder), *Path(folder).parents)
        for name in (".git", ".hg", ".jj")
    )


def working_folder() -> str | None:
    """The working folder; None when it was deleted."""
    try:
        return os.getcwd()  # noqa: PTH109  (as text, to compare it)
    except FileNotFoundError:
        return None


def current() -> Run:
    """The current run, of the current click context."""
    run = get_current_context().obj
    assert isinstance(run, Run)
    return run
