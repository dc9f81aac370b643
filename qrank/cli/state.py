"""What the options that all commands share say in this run, and what is preset where it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qrank.settings import Placement, Settings

if TYPE_CHECKING:
    from qrank.api import Index
    from qrank.models.registry import Registry


@dataclass(slots=True)
class Common:
    """What the common options, and those of all commands that use models, say in this run."""

    db: Path | None = None
    color: str | None = None
    debug: bool = False
    quiet: bool = False
    threads: int | None = None
    gpu_layers: int | None = None
    device: str | None = None
    _settings: Settings | None = None
    _models: Registry | None = None

    @property
    def settings(self) -> Settings:
        """What is preset where this run takes place, read when it is first asked for."""
        if self._settings is None:
            from qrank.config import load_settings

            self._settings = load_settings()
        return self._settings

    @property
    def models(self) -> Registry:
        """What the names of models mean."""
        if self._models is None:
            from qrank.models.registry import Registry

            self._models = Registry(self.settings)
        return self._models

    def open_index(
        self, *, embed_model: str | None = None, rerank_model: str | None = None
    ) -> Index:
        """The index that this run is about."""
        from qrank.api import Index

        return Index(
            self.db,
            embed_model=embed_model,
            rerank_model=rerank_model,
            placement=self.placement,
            settings=self.settings,
        )

    @property
    def placement(self) -> Placement:
        """Where models run."""
        return Placement(self.threads, self.gpu_layers, self.device)


common = Common()
