"""People's output: results on stdout, everything else on stderr, colour only where wanted."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from qrank.cli.inputs import Format, Item
from qrank.cli.options import COLOR_CHOICES, common
from qrank.cli.snippet import inert, inert_name, snippet
from qrank.errors import InputError
from qrank.results import Answer, Check, IndexReport, Result

if TYPE_CHECKING:
    from rich.console import Console

    from qrank.pipeline.progress import Progress

SHOWN_PROBLEMS = 10
PIPE_WIDTH = 320  # characters of a passage where there is no terminal to fill
_HEADING_LINES = re.compile(r"\A(?:#{1,6}[^\S\n].*(?:\n\s*|\Z))+")
SPINNER_DELAY = 0.5  # seconds


def warn(message: str) -> None:
    """A line on stderr, unless --quiet."""
    if not common.quiet:
        print("qrank:", inert_name(message), file=sys.stderr)


def _color(stream: IO[str]) -> bool:
    """Whether to colour a stream: the flag, then NO_COLOR, CLICOLOR_FORCE, CLICOLOR."""
    from qrank import settings

    chosen = settings.load().get("color", common.color, "auto")
    if chosen not in COLOR_CHOICES:
        raise InputError(f"color must be one of {', '.join(COLOR_CHOICES)}, not {chosen!r}")
    if chosen != "auto":
        return chosen == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("CLICOLOR_FORCE", "0") != "0":
        return True
    terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
    return terminal and os.environ.get("CLICOLOR") != "0"


def console_for(stream: IO[str]) -> Console:
    from rich.console import Console

    color = _color(stream)
    return Console(
        file=stream,
        force_terminal=color or stream.isatty(),
        color_system="auto" if color else None,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if stream.isatty() else 10_000,  # a pipe gets its lines whole
    )


def answer(found: Answer) -> None:
    """A search's results: place and score on a line, below it the passage around the terms."""
    terminal = sys.stdout.isatty()
    if terminal or _color(sys.stdout):
        _styled(found, terminal)
    else:  # rich takes a third of a BM25 search's time to import
        for result in found.results:
            head = "".join(text for text, _ in _head(result))
            shown, _ = _passage(result, found.terms, PIPE_WIDTH)
            print(f"{head}\n    {shown}\n")
    if not found.results:
        warn("nothing found")
    elif found.truncated:
        warn(f"time was up: {found.reranked} candidates were reranked (--budget)")


def _styled(found: Answer, terminal: bool) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console = console_for(sys.stdout)
    width = max(40, console.width - 8) * 3 if terminal else PIPE_WIDTH
    for result in found.results:
        console.print(Text.assemble(*_head(result)), overflow="fold")
        shown, spans = _passage(result, found.terms, width)
        body = Text(shown)
        for start, end in spans:
            body.stylize("bold yellow", start, end)
        console.print(Padding(body, (0, 0, 0, 4), expand=False))
        console.print()


def _head(result: Result) -> list[tuple[str, str]]:
    """The first line of a result: pieces of text with their styles."""
    pieces = [
        (f"{result.rank:>2}  ", "dim"),
        (f"{result.score:.3f}  ", "cyan"),
        (_place(result), "bold green"),
    ]
    if result.stale:
        pieces.append(("  (changed since indexed)", "yellow"))
    if result.heading:
        pieces.append((f"  {inert_name(result.heading)}", "dim"))
    return pieces


def _passage(result: Result, terms: Sequence[str], width: int) -> tuple[str, list[tuple[int, int]]]:
    """What is shown of a passage, and where the query's terms are in it."""
    # The heading line that a Markdown passage begins with stands above already.
    text = _HEADING_LINES.sub("", result.text) if result.heading else result.text
    return snippet(text or result.text, terms, width)


def _place(result: Result) -> str:
    lines = (
        f"{result.start_line}"
        if result.start_line == result.end_line
        else f"{result.start_line}-{result.end_line}"
    )
    page = f" (page {result.page})" if result.page is not None else ""
    return f"{inert_name(short_path(result.path))}:{lines}{page}"


def short_path(path: str) -> str:
    """A path as seen from this folder when it lies below it, else whole."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return path


def ranked(found: Sequence[tuple[Item, float]]) -> None:
    """Reranked lines: the score, a tab, the text; ended by NUL where the input was."""
    for item, score in found:
        text = inert(item.text) if sys.stdout.isatty() else item.text
        end = "\0" if item.form is Format.nul and not sys.stdout.isatty() else "\n"
        sys.stdout.write(f"{score:.4f}\t{text}{end}")


def problems(report: IndexReport) -> None:
    """The files that were left out, the first few by name."""
    for problem in report.problems[:SHOWN_PROBLEMS]:
        warn(f"left out {short_path(problem.path)}: {problem.reason}")
    more = len(report.problems) - SHOWN_PROBLEMS
    if more > 0:
        warn(f"left out {more} more (--json names all)")


def index_report(report: IndexReport, path: Path) -> None:
    """One line on what an index run did."""
    counts = {
        "added": report.added,
        "updated": report.updated,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "left out": report.skipped + report.failed,
    }
    files = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none found"
    print(
        f"{files}; {report.embedded} passages embedded in {report.seconds:.1f} s; "
        f"{report.chunks} passages in {inert_name(short_path(str(path.absolute())))}"
    )


def status(held: dict[str, Any]) -> None:
    """What the index holds."""
    print(f"index        {inert_name(held['db'])} ({size(held['bytes'])})")
    print(f"files        {held['files']}")
    print(f"passages     {held['chunks']} ({held['passages']} different ones)")
    print(f"cached       {held['cached']} answers of models (--clear-cache)")
    for collection in held["collections"]:
        print(f"collection   {inert_name(collection['name'])}: {collection['files']} files")
    for place, model in enumerate(held["models"]):
        name, of = inert_name(model["name"]), held["passages"]
        print(f"vectors      {model['vectors']} of {of} by {name} ({model['dims']} dims)")
        if place:
            print(f"             on their way in: qrank index --embed-model {name}")
        elif model["vectors"] < of:
            print("             run qrank index to complete them")


def checks(done: Sequence[Check]) -> None:
    """What was checked, a line each, and below what is not well what to do."""
    for check in done:
        print(f"{check.status:<4}  {check.name}: {inert_name(check.detail)}")
        if check.hint:
            print(f"      {inert_name(check.hint)}")


def size(count: int) -> str:
    """A number of bytes as people say it."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def hint_at_better_models(name: str | None) -> None:
    """When the embedding model that was used came with the package, a line on better ones."""
    from qrank.models.registry import Role, better_than, resolve

    if name and better_than(resolve(Role.embedder, name)):
        warn("using the small bundled models; for better ones see: qrank models list")


@contextmanager
def spinner() -> Iterator[None]:
    """On a terminal, a sign of life once something takes longer than half a second."""
    if common.quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    shown = Console(stderr=True).status("searching…")
    timer = threading.Timer(SPINNER_DELAY, shown.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        shown.stop()


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress bar with rate and time left on a terminal, nothing elsewhere."""
    from qrank.pipeline.progress import Silent

    if common.quiet or not sys.stderr.isatty():
        yield Silent()
        return
    from qrank.cli.bar import Bar

    with Bar() as bar:
        yield bar
