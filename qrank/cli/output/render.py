"""Output for people: results to stdout, messages to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qrank.cli.input.records import Format, Item
from qrank.cli.output.escape import escape_line, escape_text
from qrank.cli.output.terminal import animates, console_for
from qrank.cli.output.view import with_place
from qrank.cli.state import current
from qrank.errors import Terminated
from qrank.names import named_path, path_from
from qrank.results import IndexedChunk, page_label
from qrank.urls import IndexPlace, is_url

if TYPE_CHECKING:
    from qrank import Collected, FilePlan
    from qrank.cli.output.progress_lines import Lines
    from qrank.progress import Counting, Progress
    from qrank.reports import Check, FieldCount, IndexReport

SHOWN_ERRORS = 10  # skipped files that are listed
SHOWN_SECRETS = 5  # files with secrets that are listed
LONGEST = 300  # characters of a path in a warning

MOST_BLANK = 3  # blank lines between two chunks
SHOWN_VALUE = 30  # characters of a value in the list of fields


def warning(message: str) -> None:
    """Print a line to stderr, unless --quiet."""
    if not current().quiet:
        print("qrank:", escape_line(message), file=sys.stderr)


def report(message: str) -> None:
    """Print a line to stdout that says what was done, unless --quiet."""
    if not current().quiet:
        print(escape_line(message))


def notice(message: str) -> None:
    """Print a line to stderr, dimmed on a terminal; nothing for an empty message."""
    if message:
        text = f"qrank: {escape_line(message)}"
        console_for(sys.stderr).print(text, style="dim", soft_wrap=True)


def short_path(path: str) -> str:
    """A path relative to the working folder if it is below it, else absolute."""
    return path_from(path, current().folder)


def skipped(path: str, reason: str, *, partly: bool = False) -> None:
    """Warn about a file that was skipped, or (partly) of which a part was. A very long path is
    shortened in the middle."""
    name = short_path(path)
    if len(name) > LONGEST:
        name = f"{name[: LONGEST // 2]}…{name[-LONGEST // 2 :]}"
    warning(f"skipped {'part of ' * partly}{name}: {reason}")


def ranked(results: Sequence[tuple[Item, float | None]]) -> None:
    """Print reranked items, one per line: the score (- if it was not scored), a tab, and the text
    or, for a file, its path. Items of NUL-separated input end with NUL."""
    from qrank.cli.output import json_output

    for item, score in results:
        end = "\0" if item.form is Format.nul and not sys.stdout.isatty() else "\n"
        sys.stdout.write(f"{'-' if score is None else significant(score, 4)}\t")
        if "path" in item.fields:
            json_output.path(item.fields["path"], end)
        else:
            sys.stdout.write((escape_text(item.text) if sys.stdout.isatty() else item.text) + end)


def chunks(groups: Sequence[Sequence[IndexedChunk]]) -> None:
    """Print groups of chunks, each below its location if there are several groups; lines between
    chunks of a file become blank lines. Escaped on a terminal."""
    for chunks in groups:
        last = None
        for chunk in chunks:
            if len(groups) > 1 and last is None:
                print(escape_line(_start(chunk)))
            elif last is not None and last.location != chunk.location:
                print("\n" + escape_line(_start(chunk)))
            elif last is not None:
                gap = chunk.start_line - last.end_line - 1 if chunk.page is None else 1
                print("\n" * min(max(gap, 0), MOST_BLANK), end="")
            print(escape_text(chunk.text) if sys.stdout.isatty() else chunk.text)
            last = chunk
        if len(groups) > 1:
            print()


def _start(chunk: IndexedChunk) -> str:
    return with_place(short_path(chunk.location), chunk.start_line, None, chunk.page)


def errors(report: IndexReport) -> None:
    """Warn about the files that were skipped: by name those that the user named and SHOWN_ERRORS
    others, the rest by number. Files that were already skipped in the last run are not mentioned,
    unless no file was indexed. With --verbose, all are listed by name."""
    verbose = current().verbose
    all_of_them = verbose or not report.file_count
    news = [e for e in report.errors if all_of_them or e.named or not e.known]
    secrets = [error for error in news if error.secret]
    news = [error for error in news if not error.secret]
    removed = sum(error.removed for error in secrets)
    secrets_skipped([error.path for error in secrets], removed)
    shown = 0
    for error in news:
        if verbose or error.named or shown < SHOWN_ERRORS:
            skipped(error.path, error.reason, partly=error.partly)
            shown += 1
    more = len(news) - shown
    if more > 0:
        warning(f"skipped {more} more (-v names all)")


def not_updated(report: IndexReport, collections: Sequence[Collected]) -> None:
    """Warn about the folders of these collections that a run without PATH could not update."""
    for path in report.missing:
        warning(
            f"{short_path(path)} does not exist now: its documents stay indexed "
            "(qrank remove takes it out)"
        )
    for each in collections:
        if not each.roots:
            warning(
                f"collection {each.name}: it is not known which folders it is made of; name them "
                f"once: qrank index PATH --collection {each.name}"
            )


def secrets_skipped(paths: Sequence[str], removed: int = 0) -> None:
    """Warn in one line about files that were skipped because they contain keys or passwords.
    removed: how many of them had been in the index."""
    if not paths:
        return
    names = list(dict.fromkeys(path.rpartition("/")[2] for path in sorted(paths)))
    shown = [*names[:SHOWN_SECRETS], *(["…"] if len(names) > SHOWN_SECRETS else [])]
    several = len(paths) > 1
    some = f"{removed} of them " if removed < len(paths) else ""
    gone = f"; {some}removed from the index" if removed else ""
    warning(
        f"skipped {plural(len(paths), 'file')} with keys or passwords ({', '.join(shown)}){gone}; "
        f"--include-secrets indexes {'them' if several else 'it'}"
    )


def file_plan(plan: FilePlan) -> None:
    """Print the chunks a file is split into, each under a line with its location."""
    for chunk in plan.chunks:
        lines = f"{chunk.start_line}-{chunk.end_line}"
        page = page_label(plan.location, chunk.page)
        place = f"{short_path(plan.location)}:{lines}" + f" ({page})" * bool(page)
        heading = f"  {chunk.heading}" if chunk.heading else ""
        print(escape_line(f"== {place}  ~{plan.tokens(chunk)} tokens{heading}"))
        print((escape_text(chunk.text) if sys.stdout.isatty() else chunk.text) + "\n")


def file_count(plan: FilePlan, tokens: int) -> None:
    """Print the numbers of chunks and (estimated) tokens of a file."""
    chunks = plural(len(plan.chunks), "chunk")
    print(f"{escape_line(short_path(plan.location))}: {chunks}, ~{tokens} tokens")


def shown_place(place: str) -> str:
    """The location of an index: a URL, or a path as short_path has it."""
    return place if is_url(place) else short_path(named_path(place))


def index_report(done: IndexReport, path: IndexPlace) -> None:
    """Print the result of an index run in one line."""
    counts = {
        "added": done.added,
        "updated": done.updated,
        "removed": done.removed,
        "unchanged": done.unchanged,
        "skipped": done.skipped + done.failed,
    }
    files = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none found"
    report(
        f"{files}; {plural(done.embedded, 'chunk')} embedded in {done.seconds:.1f} s; "
        f"{plural(done.chunks, 'chunk')} in {shown_place(str(path))}"
    )


def status(state: dict[str, Any]) -> None:
    """Print the status of an index (`qrank status`)."""
    bytes_ = f" ({size(state['bytes'])})" if state["bytes"] else ""
    print(f"index        {escape_line(shown_place(state['db']))}{bytes_}")
    print(f"files        {state['files']}")
    print(f"chunks       {state['chunks']} ({state['unique_texts']} unique)")
    print(f"cache        {state['cached']} scores and query vectors (--clear-cache)")
    for collection in state["collections"]:
        about = f" ({escape_line(collection['description'])})" if collection["description"] else ""
        name = escape_line(collection["name"])
        print(f"collection   {name}{about}: {plural(collection['files'], 'file')}")
        _collection_settings(collection["ignore"], collection["instruction"], " " * 13)
    for place, model in enumerate(state["models"]):
        name, of = escape_line(model["name"]), state["unique_texts"]
        print(f"vectors      {model['vectors']} of {of} by {name} ({model['dims']} dimensions)")
        if model["truncated"]:
            print(f"             {model['truncated']} truncated: longer than its context window")
        if place:
            print(f"             incomplete; finish with: qrank index --embed-model {name}")
        elif model["vectors"] < of:
            print("             incomplete; finish with: qrank index")
    for role, used in state["in_use"].items():
        print(escape_line(f"{role:<12} {used['model']} ({used.get('error', used['why'])})"))
        if better := used["better"]:
            word = "is installed and better" if better["installed"] else "would be better"
            print(f"             {better['model']} {word}: {better['command']}")


def collections(rows: Sequence[Collected]) -> None:
    """Print the collections, each with its folders."""
    for each in rows:
        about = f"  {escape_line(each.description)}" if each.description else ""
        print(f"{escape_line(each.name)}: {plural(each.files, 'file')}{about}")
        for root in each.roots:
            print(f"    {escape_line(short_path(root))}")
        _collection_settings(each.ignore, each.instruction, " " * 4)


def _collection_settings(rules: Sequence[str], instruction: str, margin: str) -> None:
    """Print a collection's ignore rules and instruction."""
    if rules:
        print(margin + escape_line(f"ignores {', '.join(rules)}"))
    if instruction:
        print(margin + escape_line(f"instruction: {instruction}"))


def fields(counts: Sequence[FieldCount]) -> None:
    """Print fields, one per line: name, kinds, number of records, most frequent values."""
    if not counts:
        warning("no document has fields (front matter, mail headers, columns)")
        return
    rows = [(f.name, "/".join(f.kinds), str(f.records), _some_values(f)) for f in counts]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for name, kinds, count, some in rows:
        start = f"{name:<{widths[0]}}  {kinds:<{widths[1]}}  {count:>{widths[2]}}"
        print(escape_line(f"{start}  {some}"))


def _some_values(field: FieldCount) -> str:
    values = [f"{shortened(v.value)} ({v.count})" for v in field.values]
    more = field.distinct - len(field.values)
    return ", ".join([*values, *([f"{more} more"] if more > 0 else [])])


def shortened(value: str) -> str:
    """A value, truncated to SHOWN_VALUE characters."""
    return value if len(value) <= SHOWN_VALUE else value[: SHOWN_VALUE - 1] + "…"


def field_values(field: FieldCount) -> None:
    """Print the values of a field, one per line: number of records, tab, value."""
    for value in field.values:
        print(f"{value.count}\t{escape_line(value.value)}")
    if more := field.distinct - len(field.values):
        notice(f"{more} more values (-n {field.distinct} shows all)")


def checks(done: Sequence[Check]) -> None:
    """Print checks, one per line, each failure with its hint."""
    for check in done:
        print(f"{check.status:<4}  {check.name}: {escape_line(check.detail)}")
        if check.hint:
            print(f"      {escape_line(check.hint)}")


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "chunk"), plural(0, "file")
    ('1 chunk', '0 files')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits.

    >>> significant(0.9), significant(1e-6), significant(12.34), significant(1234.5)
    ('0.900', '1.00e-06', '12.3', '1234')
    """
    if abs(value) >= 10**digits:
        return f"{value:.0f}"
    return f"{value:#.{digits}g}".rstrip(".")


def size(count: int) -> str:
    """A number of bytes with a unit: B, kB, MB or GB."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def hint_at_better_models(name: str | None) -> None:
    """Print the model that an index was made with, and how to get a better one."""
    from qrank.models import in_use
    from qrank.models.registry import Role

    if not name:
        return
    models = current().models
    better = models.better_than(models.resolve(Role.embedder, name).entry)
    more = "qrank models recommend shows what fits this machine"
    if better:
        size = better.download_bytes
        load = f" ({size / 1e6:,.0f} MB)" if size and not better.installed else ""
        more = f"{better.alias} is better: {in_use.command(better)}{load}"
    warning(f"embedded with {name}; {more}")


@contextmanager
def stages() -> Iterator[Progress]:
    """A progress that shows the stage of a search on a terminal, if it takes longer than half a
    second."""
    if not animates():
        with _lines() as lines:
            yield lines
        return
    from qrank.cli.output.spinner import Spinner

    with Spinner() as spinner:
        yield spinner


def _lines() -> Lines:
    from qrank.cli.output.progress_lines import Lines

    return Lines(warning, times=current().verbose)


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress that shows a bar on a terminal, else prints a line per minute. When the run is
    interrupted, the exception says at which step."""
    counting: Counting = _lines()
    if animates():
        from qrank.cli.output.progress_bar import Bar

        counting = Bar()
    try:
        with counting:
            yield counting
    except (KeyboardInterrupt, Terminated) as error:
        word = "interrupted" if isinstance(error, KeyboardInterrupt) else "terminated"
        raise type(error)(f"{word} {counting.place}; the next run continues from there") from None
