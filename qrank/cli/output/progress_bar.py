"""The progress bar of a long run, on stderr, with rich."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from qrank.cli.output.escape import escape_line
from qrank.progress import Counting


class _Rate(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f}/s" if task.speed and task.speed >= 10 else _slow(task))


def _slow(task: Task) -> str:
    return f"{task.speed:.1f}/s" if task.speed else ""


class Bar(Counting):
    """A qrank.progress.Progress with one bar per stage."""

    def __init__(self, *columns: ProgressColumn) -> None:
        """columns: of rich's progress display; by default for counting steps."""
        super().__init__()
        steps = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*(columns or steps), console=Console(stderr=True), transient=True)
        self._progress.start()
        self._task: TaskID | None = None

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()

    def stage(self, name: str, total: int | None) -> None:
        """Replace the bar by a new one."""
        super().stage(name, total)
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=total)

    def detail(self, text: str) -> None:
        """Show a detail after the stage's name."""
        super().detail(text)
        if self._task is not None:
            self._progress.update(self._task, description=escape(escape_line(self.name)))

    def advance(self, amount: int = 1) -> None:
        """Advance the bar."""
        super().advance(amount)
        if self._task is not None:
            self._progress.advance(self._task, amount)
