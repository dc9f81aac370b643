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
    query: Annotated[str, typer.Argument(help="What the documents should answer.")],
    rerank_model: RerankModel = None,
    instruct: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The task, in place of the default one.")
    ] = None,
    candidates: Annotated[
        str, typer.Option(metavar="K|all", help="With more documents, BM25 picks this many.")
    ] = str(DEFAULT_CANDIDATES),
    limit: Annotated[
        int | None,
        typer.Option("-n", "--limit", min=1, max=MOST, help="Print at most this many."),
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--input", help="What stdin holds. [seen from its first line]")
    ] = None,
    files: Annotated[
        bool, typer.Option("--files", help="stdin names files; rank them by how they begin.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print a JSON object a text.")] = False,
) -> None:
    """Order the documents on stdin by how well they answer QUERY.

    A document a line, or JSONL objects with "text", whose other fields are kept, or what
    `rg --json` prints. Each comes out with its score, best first.
    """
    from qrank import standalone
    from qrank.cli.input import records
    from qrank.cli.output import json_output, render

    if as_json and as_jsonl:
        raise InputError("--json and --jsonl can't go together", hint="choose one")
    count = _candidates(candidates)
    # A blank line is no document; an object without a word in it is one.
    read = records.texts(form, names=files)
    items = [item for item in read if item.is_object or item.text.strip()]
    if files:
        items = list(records.file_texts(items, render.warn))
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
        render.warn(f"scored BM25's best {len(ranked)} of {len(items)} documents (--candidates)")
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
