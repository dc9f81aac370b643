"""qrank tui."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from qrank.cli.options import Collections, EmbedModel, PathGlob, RerankModel
from qrank.cli.state import current
from qrank.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qrank.api import Index


def tui(
    query: Annotated[str, typer.Argument(metavar="[QUERY]", help="The first query.")] = "",
    collection: Collections = None,
    path: PathGlob = None,
    embed_model: EmbedModel = None,
    rerank_model: RerankModel = None,
) -> None:
    """Search as you type.

    Keyword results come at once, then results by meaning; the reranker runs when you pause. Up and
    Down select, Enter opens the chunk in $EDITOR, Esc quits.
    """
    index = current().open_index(embed_model=embed_model, rerank_model=rerank_model)
    start(index, query, collection or (), path or ())


def start(index: Index, query: str, collections: Sequence[str], path: Sequence[str]) -> None:
    """Run the interactive search on the terminal. Raises InputError when there is no terminal."""
    from qrank.cli.output.terminal import is_dumb

    if not (sys.stdin.isatty() and sys.stdout.isatty()) or is_dumb():
        raise InputError("the interactive search needs a terminal", hint="use qrank search QUERY")
    index.status()  # raises for a missing index before the screen is changed
    index.close()  # the search thread opens it again
    # textual draws 60 times a second by default, which delays keys by up to 17 ms.
    os.environ.setdefault("TEXTUAL_FPS", "120")
    from qrank.cli.interactive.screen import Screen

    Screen(index, query, collections, path, current()).search()
