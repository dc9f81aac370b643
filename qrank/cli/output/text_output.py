"""The results of a search for people: grouped by file, with location, heading and text."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from qrank.cli.output.escape import escape_line
from qrank.cli.output.hyperlinks import link
from qrank.cli.output.render import plural, short_path, significant, warning
from qrank.cli.output.snippet import Line, best_place, context, snippet, whole, without_headings
from qrank.cli.output.terminal import console_for, uses_color
from qrank.cli.output.view import View, with_place
from qrank.markup import readable
from qrank.names import disk_path
from qrank.results import Answer, Mode, Result, StageScore, location, page_label

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

PIPE_WIDTH = 320  # characters of a chunk without a terminal
ROWS = 3  # of the terminal, for prose
READABLE = 120  # columns: longer lines of prose are hard to read
ALSO_WIDTH = 80  # characters of further chunks of a file
INDENT = 4
SHOWN_COPIES = 3
Terms = Mapping[str, Mapping[str, float]]


class Row(NamedTuple):
    """A line of output, which may have to be wrapped."""

    pieces: Sequence[tuple[str, str]] = ()  # (text, style)
    indent: int = 0
    hang: int = 0  # further indent of the lines after the first
    crop: bool = False  # truncate, do not wrap
    prose: bool = False  # wrap at READABLE columns
    break_at: int | None = None  # the piece to put on a line of its own if not all fits


def answer(answer: Answer, view: View, terms: Terms) -> None:
    """Print an answer. terms: the contributions of terms to each result's BM25 score, for
    --explain."""
    if sys.stdout.isatty() or uses_color(sys.stdout):
        screen = console_for(sys.stdout)
        line = max(40, min(screen.width, READABLE) - 2 * INDENT)
        width = line * ROWS if sys.stdout.isatty() else PIPE_WIDTH
        for row in _rows(answer, view, terms, width):
            _print_styled(screen, row)
    else:  # without rich: importing it takes a third of the time of a BM25 search
        for row in _rows(answer, view, terms, PIPE_WIDTH):
            print(" " * row.indent + "".join(text for text, _ in row.pieces))
    if answer.truncated and answer.results:
        done = f"only {answer.reranked} candidates were" if answer.reranked else "nothing was"
        warning(f"time limit reached: {done} reranked (--budget, --deadline)")
    if answer.promised is not None and not answer.reranked:
        seconds = f"about {answer.needed:.0f} s" if answer.needed else "too long"
        warning(
            f"not reranked: it would take {seconds} here (--candidates 30 does it, or a higher "
            "setting answer_seconds)"
        )


def draft(answer: Answer, view: View) -> Text:
    """An answer that may still change, as text for a terminal."""
    from rich.text import Text

    screen = console_for(sys.stdout)
    line = max(40, min(screen.width, READABLE) - 2 * INDENT)
    with screen.capture() as lines:
        for row in _rows(answer, view._replace(explain=False), {}, line * ROWS):
            _print_styled(screen, row)
    return Text.from_ansi(lines.get().rstrip("\n"))


def _rows(answer: Answer, view: View, terms: Terms, width: int) -> Iterator[Row]:
    by_file: dict[str, list[Result]] = {}
    for result in answer.results:
        by_file.setdefault(result.location, []).append(result)
    for results in by_file.values():
        for result in results:
            first = result is results[0]
            lines = _lines(result, answer, view, width if first else ALSO_WIDTH)
            if first:
                yield _head(result, answer, view)
            else:
                short = view.around is None and not view.full
                yield _also(result, answer, view, lines if short else [])
                lines = [] if short else lines
            for line in lines:
                yield _body(line)
            if result.copies:
                yield _copies(result)
            if view.explain:
                yield from _explained(result, answer.mode, terms.get(result.id, {}))
        yield Row()
    if view.explain:
        yield from _summary(answer)


def _lines(result: Result, answer: Answer, view: View, width: int) -> list[Line]:
    if view.around is not None:
        return context(result, answer.terms, view.around)
    # The heading at the start of a Markdown chunk is already shown above it.
    text = readable(result.text, result.location)
    text = without_headings(text) if result.heading else text
    return whole(text, answer.terms) if view.full else snippet(text, answer.terms, width)


def _span(result: Result, dash: str) -> str:
    """The lines of a result, and its page."""
    lines = str(result.start_line)
    if result.end_line != result.start_line:
        lines += f"{dash}{result.end_line}"
    page = page_label(result.location, result.page)
    return f"{lines} ({page})" if page else lines


def _url(result: Result, answer: Answer, view: View) -> str:
    """The style of a link to the best line."""
    if not view.link:
        return ""
    return f" link {link(view.link, result.path, *best_place(result, answer.terms))}"


def _also(result: Result, answer: Answer, view: View, lines: list[Line]) -> Row:
    """The row of a further result in a file: its rank, line numbers and best line."""
    pieces = [
        (f"{result.rank:>2}  ", "dim"),
        ("also ", "dim"),
        (_span(result, "–"), "green" + _url(result, answer, view)),
    ]
    best = next((line for line in lines if line.best), lines[0] if lines else None)
    if best and best.text.strip():
        pieces += [(": ", "dim"), *marked(best)]
    return Row(pieces, INDENT, crop=True)


def _copies(result: Result) -> Row:
    """The row with the locations of near-duplicates of a result."""
    places = [
        with_place(
            short_path(location(each.path, each.member)), each.start_line, each.end_line, each.page
        )
        for each in result.copies
    ]
    first = ", ".join(escape_line(place) for place in places[:SHOWN_COPIES])
    more = f" and {len(places) - SHOWN_COPIES} more" if len(places) > SHOWN_COPIES else ""
    return Row([("copies: ", "dim"), (f"{first}{more}", "green")], INDENT, 8)


def _head(result: Result, answer: Answer, view: View) -> Row:
    """The first row of a file, with its best result."""
    url = _url(result, answer, view)
    path = escape_line(short_path(result.location))
    pieces = [
        (f"{result.rank:>2}  ", "dim"),
        (f"{significant(result.score)}  ", "cyan"),
        (path, "bold green" + url),
        (f":{_span(result, '-')}", "green" + url),
    ]
    if result.index:
        pieces.append((f"  [{escape_line(short_path(result.index))}]", "dim"))
    if result.stale is not False:
        pieces.append((f"  ({stale_note(result)})", "yellow"))
    if not result.heading:
        return Row(pieces, hang=INDENT)
    pieces += [("  ", ""), (escape_line(result.heading), "dim")]
    return Row(pieces, hang=INDENT, break_at=len(pieces) - 1)


def stale_note(result: Result) -> str:
    """Whether a stale result's file was changed or deleted, or is elsewhere, as text."""
    if result.stale is None:
        return "not on this machine"
    gone = not os.path.exists(disk_path(result.path))  # noqa: PTH110  (Path raises for NUL)
    return f"{'deleted' if gone else 'changed'} since indexed"


def marked(line: Line) -> list[tuple[str, str]]:
    """A line as pieces with their styles."""
    marks = [""] * len(line.text)
    if line.best:
        marks[slice(*line.best)] = ["bold"] * (line.best[1] - line.best[0])
    for start, end in line.terms:
        marks[start:end] = ["bold yellow"] * (end - start)
    pieces: list[tuple[str, str]] = []
    start = 0
    for i in range(1, len(marks) + 1):
        if i == len(marks) or marks[i] != marks[start]:
            pieces.append((line.text[start:i], marks[start]))
            start = i
    return pieces


def _body(line: Line) -> Row:
    """A row of a chunk."""
    if line.number is None:
        return Row(marked(line), INDENT, crop=line.crop, prose=True)
    sign = ":" if line.best else "-"
    return Row([(f"{line.number:>5}{sign} ", "dim"), *marked(line)], INDENT, hang=7)


def _explained(result: Result, mode: str, terms: Mapping[str, float]) -> Iterator[Row]:
    """Rows with the rank and score of a result in each stage that ran."""
    scores = result.scores
    by_share = sorted(terms.items(), key=lambda item: -item[1])
    notes = {
        "bm25": ", ".join(f"{escape_line(term)} {score:.2f}" for term, score in by_share),
        "vector": "cosine",
        "fused": "",
    }
    for stage, note in notes.items():
        if mode not in (Mode.hybrid, stage):
            continue
        score: StageScore | None = getattr(scores, stage)
        text = f"#{score.rank:<4}{significant(score.score):>8}  {note}" if score else "–"
        yield Row([(f"{stage:<7} ", "cyan"), (text.rstrip(), "")], INDENT, 8)
    if scores.named:
        yield Row(
            [
                ("name    ", "cyan"),
                ("the query is the name of this file, or of what it defines here", ""),
            ],
            INDENT,
            8,
        )
    if scores.rerank:
        cached = ", cached" if scores.rerank.cached else ""
        text = f"{significant(scores.rerank.score):>13}  P(yes) {significant(scores.rerank.p_yes)}"
        text += cached
        yield Row([("rerank  ", "cyan"), (text, "")], INDENT, 8)


def _summary(answer: Answer) -> Iterator[Row]:
    """Rows on the whole answer: mode, terms, counts, times."""
    models = ", ".join(
        f"{name} by {escape_line(model)}"
        for name, model in (
            ("vectors", answer.models["embed"]),
            ("rerank", answer.models["rerank"]),
        )
        if model
    )
    timings = ", ".join(f"{stage} {ms:.0f}" for stage, ms in answer.timings_ms.items())
    counts = f"{plural(answer.candidates, 'candidate')}, {answer.reranked} reranked"
    if answer.promised is not None:
        counts += f" in {answer.promised:.0f} s (answer_seconds); all: about {answer.needed:.0f} s"
    facts = {
        "mode": f"{answer.mode} ({models})" if models else answer.mode,
        "terms": " ".join(escape_line(term) for term in answer.terms) or "–",
        "found": f"{counts}{', stopped by --budget' if answer.truncated else ''}",
        **({"also": ", ".join(map(escape_line, answer.synonyms))} if answer.synonyms else {}),
        "ms": timings,
    }
    for name, fact in facts.items():
        yield Row([(f"{name:<7} ", "cyan"), (fact, "")], 0, 8)


def _print_styled(screen: Console, row: Row) -> None:
    """Print a row on a terminal, wrapped with a hanging indent if it is too long."""
    if (
        row.break_at is not None
        and row.indent + sum(_assembled([piece]).cell_len for piece in row.pieces) > screen.width
    ):
        head, rest = row.pieces[: row.break_at - 1], row.pieces[row.break_at :]
        _print_styled(screen, Row(head, row.indent, row.hang))
        _print_styled(screen, Row(rest, row.indent + row.hang))
        return
    text = _assembled(row.pieces)
    text.expand_tabs(4)
    columns = min(screen.width, READABLE) if row.prose else screen.width
    width = max(20, columns - row.indent - row.hang)
    if row.crop:
        text.truncate(max(20, screen.width - row.indent), overflow="ellipsis")
        lines = [text]
    elif text.cell_len <= width + row.hang:
        lines = [text]
    else:
        lines = list(text.wrap(screen, width, overflow="fold"))
    for i, line in enumerate(lines):
        line.rstrip()
        indent = row.indent + (row.hang if i else 0)
        screen.print(_assembled([(" " * indent, "")]) + line, soft_wrap=True)


def _assembled(pieces: Sequence[tuple[str, str]]) -> Text:
    from rich.text import Text

    return Text.assemble(*pieces)
