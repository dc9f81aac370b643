"""qrank embed."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from qrank.cli.input.records import Format
from qrank.cli.options import MOST, NewEmbedModel
from qrank.cli.state import current

GROUP = 32  # texts that are read, embedded and printed at a time


def embed(
    embed_model: NewEmbedModel = None,
    query: Annotated[
        bool,
        typer.Option(
            "--query",
            rich_help_panel="Options",
            help="Embed the texts as queries, not as documents.",
        ),
    ] = False,
    instruct: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            rich_help_panel="Options",
            help="The instruction for the model, with --query.",
        ),
    ] = None,
    dims: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST, metavar="N", help="Keep the first N dimensions (Matryoshka models)."
        ),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--input", rich_help_panel="Options", help="The format of stdin. [default: detected]"
        ),
    ] = None,
) -> None:
    """Embed the texts on stdin.

    Prints one JSON object per text, with text and embedding, in input order.
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
                render.warning(
                    f"text {read + i + 1} was truncated: it is longer than the model's context "
                    f"window of {embedding.window} tokens"
                )
            read += len(group)
