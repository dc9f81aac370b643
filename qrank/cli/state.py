"""A run of the command line: what its common options say, and what is preset where it runs."""

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
    """What the common options, and those of all commands that use models, say in this run.

    It is the object of the run's context: commands get it with `current`, what has a context of
    its own from that one.
    """

    root: Callable[..., Any]  # makes qrank's own command, with all commands below it
    main: Callable[..., int]  # runs the command line again, for sys.argv (app.run)
    opened: Callable[[str], None] | None = None  # is called with each index that is opened
    dbs: tuple[IndexPlace, ...] = ()  # the indexes that --db names
    recalled: bool = False  # whether that is the index of the last search, which nobody named
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
        """The working folder; None when it was deleted."""
        return working_folder()

    def require_folder(self) -> Path:
        """The working folder. Raises InputError when it was deleted."""
        if self.folder is None:
            raise InputError(GONE)
        return Path(self.folder)

    @cached_property
    def settings(self) -> Settings:
        """The settings of the working folder, read when first needed."""
        from qrank.config import load_settings

        return load_settings()

    @cached_property
    def models(self) -> Registry:
        """What the names of models mean."""
        from qrank.models.registry import Registry

        return Registry(self.settings)

    @property
    def placement(self) -> Placement:
        """Where models run."""
        return Placement(self.threads, self.gpu_layers, self.device)

    def settings_with_placement(self) -> Settings:
        """What is preset, with where models run as this run's options say."""
        placement = self.settings.placement(self.placement)
        options = {name: getattr(placement, name) for name in ("threads", "gpu_layers", "device")}
        own = {name: str(value) for name, value in options.items() if value is not None}
        return replace(self.settings, values={**self.settings.values, **own})

    def open_index(
        self, *, embed_model: str | None = None, rerank_model: str | None = None
    ) -> Index:
        """The index of this run."""
        return self._opened(self.db, embed_model, rerank_model)

    def open_indexes(
        self, *, embed_model: str | None = None, rerank_model: str | None = None
    ) -> Index | Indexes:
        """The index, or the indexes, that a search uses."""
        files = list(dict.fromkeys(self.dbs))
        if len(files) < 2:
            return self.open_index(embed_model=embed_model, rerank_model=rerank_model)
        from qrank.indexes import Indexes

        return Indexes([self._opened(file, embed_model, rerank_model) for file in files])

    def _opened(
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
    """Whether a folder is in a repository of git's, or of another such program."""
    if folder is None:
        return False
    return any(
        (place / name).exists()
        for place in (Path(folder), *Path(folder).parents)
        for name in (".git", ".hg", ".jj")
    )


def working_folder() -> str | None:
    """The working folder as it is now; None when it was deleted."""
    try:
        return os.getcwd()  # noqa: PTH109  (it is compared as text)
    except FileNotFoundError:
        return None


def current() -> Run:
    """The run that the command is part of."""
    run = get_current_context().obj
    assert isinstance(run, Run)
    return run
