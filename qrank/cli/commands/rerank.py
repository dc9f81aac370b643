"""qrank rerank."""

from __future__ import annotations

from typing import Annotated

import typer

from qrank import json_form
from qrank.cli.input.records import Format
from qrank.cli.options import MOST, RerankModel
from qrank.cli.state import current
from qrank.errors import InputError

DEFAULT_CANDIDATES = 100


def rerank(
    query: Annotated[str, typer.Argument(help="The query to score documents against.")],
    rerank_model: RerankModel = None,
    instruct: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The task instruction. [default: web search]")
    ] = None,
    candidates: Annotated[
        str, typer.Option(metavar="K|all", help="Rerank only BM25's best K.")
    ] = str(DEFAULT_CANDIDATES),
    limit: Annotated[
        int | None,
        typer.Option("-n", "--limit", min=1, max=MOST, help="Print at most N documents."),
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--input", help="The format of stdin. [default: detected]")
    ] = None,
    files: Annotated[
        bool, typer.Option("--files", help="stdin lists files; rank them by their beginnings.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object per document.")
    ] = False,
) -> None:
    """Order the documents on stdin by how well they answer QUERY.

    Reads one document per line, or JSONL objects with "text" (other fields are kept), or the
    output of `rg --json`. Prints each document with its score, best first.
    """
    from qrank import standalone
    from qrank.cli.input import records
    from qrank.cli.output import json_output, render

    if as_json and as_jsonl:
        raise InputError("--json and --jsonl can't be combined", hint="choose one")
    count = _candidates(candidates)
    # A blank line is no document; an object without a word in it is one.
    read = records.texts(form, names=files)
    items = [item for item in read if item.is_object or item.text.strip()]
    if files:
        items = list(records.file_texts(items, render.warning))
    ranked = standalone.rerank(
        query,
        [item.text for item in items],
        model=rerank_model,
        instruction=instruct,
        candidates=count,
        placement=current().placement,
        settings=current().settings,
    )
    if len(ranked) < len(items):
        render.warning(
            f"reranked only BM25's best {len(ranked)} of {len(items)} documents (--candidates)"
        )
    shown = [(items[place.index], place.score) for place in ranked[:limit]]
    texts = [json_form.scored_text(item.fields, item.text, score) for item, score in shown]
    if as_json:
        json_output.document(json_form.scored_texts(query, texts))
    elif as_jsonl or any(item.is_object for item, _ in shown):
        for text in texts:
            json_output.line(text)
    else:
        render.ranked(shown)
    raise typer.Exit(0 if shown else 1)


def _candidates(value: str) -> int | None:
    if value == "all":
        return None
    # The length first: int() refuses thousands of digits.
    if not value.isdecimal() or len(value) > 18 or not 1 <= int(value) <= MOST:
        raise InputError(f"--candidates takes a number from 1 to {MOST}, or all, not {value!r}")
    return int(value)
