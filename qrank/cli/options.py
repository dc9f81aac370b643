"""The options that every command has, wherever they stand, and what they are set to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption

COLOR_CHOICES = ("auto", "always", "never")


@dataclass(slots=True)
class Common:
    """What the common options say in this run."""

    db: Path | None = None
    color: str | None = None
    debug: bool = False
    quiet: bool = False


common = Common()


def _options() -> list[TyperOption]:
    """Made anew for each command: their values land in `common`, not in its arguments."""

    def store(_context: Any, option: Any, value: Any) -> None:
        # Unset leaves what an earlier place on the line said.
        if value is not None and value is not False:
            setattr(common, option.name, Path(value) if option.name == "db" else value)

    def option(*names: str, **settings: Any) -> TyperOption:
        return TyperOption(param_decls=list(names), callback=store, expose_value=False, **settings)

    return [
        option("--db", metavar="FILE", help="The index file (or QRANK_DB)."),
        option("--color", metavar="|".join(COLOR_CHOICES), help="When to use colour. [auto]"),
        option("--quiet", is_flag=True, help="Say nothing on stderr but errors."),
        option("--debug", is_flag=True, help="On an error show the traceback."),
    ]


class Group(TyperGroup):
    """The app with the common options in front of the command."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _options()


class Command(TyperCommand):
    """A command with the common options after its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _options()
