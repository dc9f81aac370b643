"""The progress bar of a download or conversion, counted in bytes."""

from __future__ import annotations

from rich.progress import (
    BarColumn,
    DownloadColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from qrank.cli.output.progress_bar import Bar


class TransferBar(Bar):
    """A bar counted in bytes; the stage's name stays on a line above it."""

    def __init__(self) -> None:
        super().__init__(
            BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
        )

    def stage(self, name: str, total: int | None) -> None:
        """Print the stage's name, and replace the bar by a new one."""
        self._progress.console.print(name, highlight=False, markup=False)
        super().stage("", total)
