"""Whether the terminal, the options and the environment allow color and redrawn lines."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING

from qrank.cli.state import COLOR_CHOICES, current
from qrank.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console


def uses_color(stream: IO[str]) -> bool:
    """Whether to color a stream: by --color or the setting, then NO_COLOR, CLICOLOR_FORCE and
    CLICOLOR. Raises InputError for an invalid setting."""
    run = current()
    choice = run.settings.get("color", run.color, "auto")
    if choice not in COLOR_CHOICES:
        raise InputError(f"color must be one of {', '.join(COLOR_CHOICES)}, not {choice!r}")
    if choice != "auto":
        return choice == "always"
    if run.environment.get("NO_COLOR"):
        return False
    if run.environment.get("CLICOLOR_FORCE", "0") != "0":
        return True
    return stream.isatty() and not is_dumb() and run.environment.get("CLICOLOR") != "0"


def console_for(stream: IO[str]) -> Console:
    """A rich console for a stream. With NO_COLOR, bold and dim are still used on a terminal."""
    from rich.console import Console

    color = uses_color(stream)
    run = current()
    no_color = run.color is None and bool(run.environment.get("NO_COLOR")) and not is_dumb()
    plain = stream.isatty() and not color and no_color
    return Console(
        file=stream,
        force_terminal=color or stream.isatty(),
        color_system="auto" if color else "standard" if plain else None,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if stream.isatty() else 10_000,  # lines are not wrapped in a pipe
    )


def is_dumb() -> bool:
    """Whether the terminal can't move its cursor."""
    return current().environment.get("TERM") == "dumb"


def animates() -> bool:
    """Whether to redraw lines on stderr: it is a terminal that can, without --quiet, and without
    --verbose, whose lines would interfere."""
    run = current()
    return not run.quiet and not run.verbose and sys.stderr.isatty() and not is_dumb()
