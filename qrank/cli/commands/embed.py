"""qrank embed."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from qrank.cli.input.records import Format
from qrank.cli.options import MOST, NewEmbedModel
from qrank.cli.state import current

GROUP = 32  # texts that are read, embedded and written together


def embed(
    embed_model: NewEmbedModel = None,
    query: Annotated[bool, typer.Option("--query", help="The texts are queries.")] = False,
    instruct: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The task, for queries.")
    ] = None,
    dims: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Keep this many dimensions (Matryoshka).")
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--input", help="What stdin holds. [seen from its first line]")
    ] = None,
) -> None:
    """Embed the texts on stdin.

    Each gives a line: a JSON object with text and embedding, in order.
    """
    from qrank import standalone
    from qrank.cli.input import records
    from qrank.cli.output import json_output, render

    items = records.texts(form)
    read = 0
    with standalone.Embedding(
        embed_model, placement=current().placement, settings=current().settings
    ) as embedding:
        while group := list(islice(items, GROUP)):
            embedded = embedding.embed(
                [item.text for item in group], query=query, instruction=instruct, dims=dims
            )
            json_output.embeddings(group, embedded.vectors)
            for i in embedded.truncated:
                render.warn(
                    f"text {read + i + 1} is longer than the model's window of "
                    f"{embedding.window} tokens: its end was left out"
                )
            read += len(group)
