"""qrank rerank."""

from __future__ import annotations

from typing import Annotated

import typer

from qrank import json_form
from qrank.cli.input.records import Format, Item
from qrank.cli.options import MOST, MOST_SECONDS, MinScore, RerankModel, number
from qrank.cli.output.template import Template
from qrank.cli.state import current
from qrank.errors import InputError

DEFAULT_CANDIDATES = 100
FIELDS = ("rank", "score", "text", "line", "path")  # of a document, for --format


def rerank(
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="What the documents should answer.")
    ],
    rerank_model: RerankModel = None,
    instruct: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The instruction for the model. [default: web search]"),
    ] = None,
    candidates: Annotated[
        str, typer.Option(metavar="K|all", help="Rerank only the best K by BM25.")
    ] = str(DEFAULT_CANDIDATES),
    limit: Annotated[
        int | None,
        typer.Option(
            "-n", "--limit", min=1, max=MOST, metavar="N", help="Print at most N documents."
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            parser=number("--budget", 0, MOST_SECONDS),
            metavar="SECONDS",
            help="Stop reranking after this time.",
        ),
    ] = None,
    min_score: MinScore = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--input", rich_help_panel="Options", help="The format of stdin. [default: detected]"
        ),
    ] = None,
    files: Annotated[
        bool,
        typer.Option(
            "--files", help="Read file names from stdin; rank the files by their beginnings."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object per document.")
    ] = False,
    template: Annotated[
        str | None,
        typer.Option("--format", metavar="TEXT", help="One line per document: '{score}\\t{text}'."),
    ] = None,
) -> None:
    """Order the documents on stdin by how well they answer QUERY.

    Reads one document per line, or JSONL objects with "text" (other fields are kept), or the
    output of `rg --json`. Prints each document with its score, best first; those that were not
    reranked come last, without a score.

    Exit status: 0 something was printed, 1 nothing was, 2 an error.
    """
    from qrank import standalone
    from qrank.cli.input import records
    from qrank.cli.output import json_output, render

    named = {"--json": as_json, "--jsonl": as_jsonl, "--format": template is not None}
    forms = [name for name, is_given in named.items() if is_given]
    if len(forms) > 1:
        raise InputError(f"{forms[0]} and {forms[1]} can't be combined", hint="choose one")
    line = Template(template, names=FIELDS) if template is not None else None
    count = _candidates(candidates)
    # Blank lines are skipped; JSON objects with an empty text are not.
    read = records.texts(form, names=files)
    items = [item for item in read if item.is_object or item.text.strip()]
    if files:
        items = list(records.file_texts(items, render.warning))
    with render.stages() as progress:
        ranked = standalone.rerank(
            query,
            [item.text for item in items],
            model=rerank_model,
            instruction=instruct,
            candidates=count,
            budget=budget,
            progress=progress,
            placement=current().placement,
            settings=current().settings,
        )
    done = sum(place.score is not None for place in ranked)
    if done < len(items):
        why = "--candidates" if count and done == min(count, len(items)) else "--budget"
        render.warning(f"reranked only BM25's best {done} of {len(items)} documents ({why})")
    if min_score is not None:
        ranked = [each for each in ranked if each.score is not None and each.score >= min_score]
    shown = [(items[place.index], place.score) for place in ranked[:limit]]
    texts = [json_form.scored_text(item.fields, item.text, score) for item, score in shown]
    if line:
        for rank, (item, score) in enumerate(shown, 1):
            values = _values(rank, item, score)
            end = "\0" if item.form is Format.nul else "\n"
            json_output.text(line.fill(values.__getitem__, item.fields), end)
    elif as_json:
        json_output.document(json_form.scored_texts(query, texts))
    elif as_jsonl or any(item.is_object for item, _ in shown):
        for text in texts:
            json_output.line(text)
    else:
        render.ranked(shown)
    raise typer.Exit(0 if shown else 1)


def _values(rank: int, item: Item, score: float | None) -> dict[str, str | int | float]:
    """The values of FIELDS for a document, for --format."""
    return {
        "rank": rank,
        "score": "-" if score is None else score,
        "text": item.text,
        "line": item.number,
        "path": str(item.fields.get("path", "")),
    }


def _candidates(value: str) -> int | None:
    if value == "all":
        return None
    # Check the length first: int() raises for thousands of digits.
    if not value.isdecimal() or len(value) > 18 or not 1 <= int(value) <= MOST:
        raise InputError(f"--candidates takes a number from 1 to {MOST}, or all, not {value!r}")
    return int(value)
