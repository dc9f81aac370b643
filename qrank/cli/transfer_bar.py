"""The bar of a transfer, in bytes, drawn on stderr by rich."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class TransferBar:
    """qrank.pipeline.progress.Progress, counted in bytes; a stage's name stays on a line above."""

    def __init__(self) -> None:
        self._progress = Progress(
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> TransferBar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def stage(self, name: str, total: int | None) -> None:
        """Begin a new bar; the one before is taken away."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._progress.console.print(name, highlight=False, markup=False)
        self._task = self._progress.add_task("", total=total)

    def advance(self, amount: int = 1) -> None:
        """Move the bar on."""
        if self._task is not None:
            self._progress.advance(self._task, amount)
