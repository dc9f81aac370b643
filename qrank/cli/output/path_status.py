"""Printing the status of a file or folder (`qrank status PATH`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qrank.cli.output.escape import escape_line
from qrank.cli.output.render import short_path

if TYPE_CHECKING:
    from qrank.reports import PathStatus, SkipReason


def show(status: PathStatus) -> None:
    """Print when and in which format a file was indexed, or why it was not."""
    _line("path", short_path(status.path))
    if status.is_folder:
        _folder(status)
    else:
        _file(status)


def _file(status: PathStatus) -> None:
    for file in status.indexed:
        chunks = f"{_number(file.chunks, 'chunk')}, {file.vectors} embedded"
        kind = f", as {status.format}" if status.format else ""
        _line("indexed", f"{file.indexed_at or 'earlier'} in {file.collection}{kind}: {chunks}")
        if file.note:
            _line("partly read", file.note)
    if status.stale:
        _line("stale", "it has changed since, or is gone (qrank index)")
    if status.elsewhere:
        _line("place", "not on this machine")
    if not status.indexed:
        _line("skipped", status.reason)


def _folder(status: PathStatus) -> None:
    if status.reason:
        _line("skipped", status.reason)
    chunks = f"{_number(status.chunks, 'chunk')}, {status.vectors} embedded"
    _line("indexed", f"{_number(status.files, 'file')}: {chunks}")
    if status.partly:
        _line("partly read", _number(status.partly, "file"))
    if status.stale:
        _line("stale", f"{_number(status.stale, 'file')} changed since, or gone (qrank index)")
    if status.elsewhere:
        _line("place", f"{_number(status.elsewhere, 'file')} not on this machine")
    for reason in status.skipped:
        _line("skipped", _counted(reason))


def _counted(reason: SkipReason) -> str:
    counts = [(reason.files, "file"), (reason.folders, "folder")]
    total = ", ".join(_number(count, what) for count, what in counts if count)
    names = [short_path(path) for path in reason.examples]
    more = ["…"] * (reason.files + reason.folders > len(names))
    return f"{total}: {reason.reason} ({', '.join(names + more)})"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _line(name: str, text: str) -> None:
    print(f"{name:<12} {escape_line(text)}")
