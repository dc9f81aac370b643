"""The options that several commands have in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from qrank import settings as presets
from qrank.arguments import moment
from qrank.cli.help import write_options
from qrank.cli.shell import complete
from qrank.cli.state import COLOR_CHOICES
from qrank.errors import InputError
from qrank.results import Sort, Stale
from qrank.settings import checked_number
from qrank.urls import IndexPlace, index_place


def _store(context: Any, option: Any, value: Any) -> None:
    """Store a value in the run's state, unless the option was not given here: it may have been
    given before the command's name."""
    if value is not None and value is not False and value != ():
        setattr(context.obj, option.name, value)


def _option(*names: str, **settings: Any) -> TyperOption:
    return TyperOption(param_decls=list(names), callback=_store, expose_value=False, **settings)


def _preset(key: str) -> Callable[[str], int]:
    """A parser for the number of an option that is also a setting."""
    return lambda value: checked_number(key, "--" + key.replace("_", "-"), value)


def number(name: str, least: float, most: float) -> Callable[[str], float]:
    """A parser for numbers from least to most; click's own accepts nan."""

    def parse(value: str) -> float:
        try:
            result = float(value)
        except ValueError:
            result = math.nan
        if not least <= result <= most:
            raise InputError(f"{name} takes a number from {least:g} to {most:g}, not {value!r}")
        return result

    return parse


def _index_place(value: str) -> IndexPlace:
    if not value:
        raise InputError("--db is empty", hint="name an index file")
    return index_place(value)


def _common_options() -> list[TyperOption]:
    """The common options; their values are stored in the run's state, not passed to the command."""
    colors = "|".join(COLOR_CHOICES)
    return [
        _option(
            "--db",
            "dbs",
            type=_index_place,
            multiple=True,
            metavar="FILE|URL",
            help="The index; search takes several. [env: QRANK_DB]",
        ),
        _option("--color", metavar=colors, help="When to use color. [default: auto]"),
        _option("-q", "--quiet", is_flag=True, help="Print only results and errors."),
        _option("-v", "--verbose", is_flag=True, help="Report slow steps and all skipped files."),
        _option("--debug", is_flag=True, help="Show the traceback of an error."),
        _option("--no-serve", is_flag=True, help="Run without the process of qrank serve."),
    ]


def _model_options() -> list[TyperOption]:
    layers_help = "Number of model layers on the GPU. [default: all]"
    return [
        _option(
            "--threads",
            type=_preset("threads"),
            metavar="N",
            help="Number of CPU threads. [default: one per core]",
        ),
        _option("--gpu-layers", type=_preset("gpu_layers"), metavar="N", help=layers_help),
        _option(
            "--device",
            metavar="NAME",
            help="Run models on this device, or on cpu.",
        ),
    ]


class Group(TyperGroup):
    """A group of commands with the common options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _common_options()


class ModelGroup(Group):
    """A group that is also a command, with the options for where models run."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _model_options()


class Command(TyperCommand):
    """A command with the common options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _common_options()

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write_options(self, ctx, formatter)


class ModelCommand(TyperCommand):
    """A command with the common options and those for where models run."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _model_options() + _common_options()

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write_options(self, ctx, formatter)


# The options of commands that print results.

MOST, MOST_SECONDS = presets.MOST, presets.MOST_SECONDS
MOST_SCORE = 100_000.0
Limit = Annotated[
    int | None,
    typer.Option(
        "-n", "--limit", min=1, max=MOST, metavar="N", help="Show at most N results. [default: 10]"
    ),
]
Collections = Annotated[
    list[str] | None,
    typer.Option(
        "--collection",
        metavar="NAME",
        help="Only this collection (may be repeated).",
        autocompletion=complete.collections,
    ),
]
PathGlob = Annotated[
    list[str] | None,
    typer.Option(
        "--path",
        metavar="GLOB",
        help="Only this file or folder, or files whose path matches (may be repeated).",
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CONDITION",
        help="Only documents whose fields match: tags=travel, date>=2026-06, author~smith,"
        " size<10k, due? (may be repeated: all must match).",
        autocompletion=complete.fields,
    ),
]
Regex = Annotated[
    list[str] | None,
    typer.Option(
        "-E",
        "--regex",
        metavar="PATTERN",
        help="Only chunks whose text matches; without QUERY list all of them, by path and line.",
    ),
]
Literal = Annotated[
    list[str] | None,
    typer.Option(
        "-F", "--literal", metavar="TEXT", help="Only chunks whose text contains TEXT, as typed."
    ),
]
LinksTo = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Only documents that link to this indexed file."),
]
LinkedFrom = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Only documents that this indexed file links to."),
]
Offset = Annotated[int, typer.Option(min=0, max=MOST, metavar="N", help="Skip the best N results.")]
SortBy = Annotated[
    Sort | None, typer.Option("--sort", help="The order of the results. [default: best first]")
]
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="Only files of this type: pdf, mail, word, spreadsheet, md (may be repeated).",
        autocompletion=complete.types,
    ),
]


def _date(option: str, *, end: bool) -> Callable[[str], datetime]:
    """A parser for dates, which returns the start or the end of a day, month or year."""
    return lambda value: moment(option, value, end=end)


_DATED = "by their own date (front matter, mail), or else by modification time"
Since = Annotated[
    datetime | None,
    typer.Option(
        parser=_date("--since", end=False),
        metavar="DATE",
        help=f"Only documents from DATE or later, {_DATED}.",
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option(
        parser=_date("--until", end=True),
        metavar="DATE",
        help="Only documents from DATE or earlier; a day, month or year is included whole.",
    ),
]
StaleOption = Annotated[
    Stale,
    typer.Option("--stale", help="How to treat results whose file has changed since indexing."),
]
MinScore = Annotated[
    float | None,
    typer.Option(
        parser=number("--min-score", -MOST_SCORE, MOST_SCORE),
        metavar="S",
        help="Skip results with a lower score.",
    ),
]
Copies = Annotated[
    bool,
    typer.Option("--copies", help="Show near-duplicates as results of their own."),
]
Exact = Annotated[
    bool,
    typer.Option("--exact", help="Search for the words as typed; do not correct spelling."),
]
Deadline = Annotated[
    float | None,
    typer.Option(
        parser=number("--deadline", 0, MOST_SECONDS),
        metavar="SECONDS",
        help="Stop after this time, and print the best results so far.",
    ),
]
PerFile = Annotated[
    int | None,
    typer.Option(min=1, max=MOST, metavar="N", help="At most N results per file."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
AsJsonl = Annotated[bool, typer.Option("--jsonl", help="Print one JSON object per result.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print a CSV table, one row per result.")]
PathsOnly = Annotated[
    bool, typer.Option("-l", "--files-with-matches", help="Print only the paths of files.")
]
Null = Annotated[
    bool,
    typer.Option(
        "-0", "--null", help="Print paths like -l, or lines of --format, each ended by NUL."
    ),
]
Count = Annotated[bool, typer.Option("--count", help="Print only the number of results.")]
Fields = Annotated[
    str | None, typer.Option(metavar="A,B,…", help="Print only these fields of JSON results.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="TEXT", help="One line per result: '{path}:{line}\\t{score}'."
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST,
        metavar="N",
        help="Print the best chunks that fit into N tokens.",
    ),
]
Around = Annotated[
    int | None,
    typer.Option(
        "-C",
        "--context",
        min=0,
        max=MOST,
        metavar="N",
        help="Show N lines of context.",
    ),
]
Full = Annotated[bool, typer.Option("--full", help="Show whole chunks.")]
Explain = Annotated[bool, typer.Option("--explain", help="Show how each stage ranked a result.")]
Hyperlinks = Annotated[
    str | None,
    typer.Option(
        "--hyperlink-format",
        metavar="FORMAT",
        help="Print results as links: file, vscode, …",
        autocompletion=complete.links,
    ),
]


def _embedder(default: str) -> Any:
    return typer.Option(
        "--embed-model",
        metavar="MODEL",
        help=f"The embedding model. [default: {default}]",
        autocompletion=complete.embedders,
    )


EmbedModel = Annotated[str | None, _embedder("the index's")]
NewEmbedModel = Annotated[str | None, _embedder("auto")]
RerankModel = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="The reranker. [default: auto]", autocompletion=complete.rerankers
    ),
]
