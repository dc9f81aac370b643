"""The command line inside the warm process: its imports, and running a command."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

# What the commands that it runs import on their way, but for the libraries of models.
USED = (
    *("qrank.api", "qrank.standalone", "qrank.config", "qrank.json_form", "qrank.store"),
    *("qrank.store.lexical", "qrank.store.vectors", "qrank.searching.search"),
    *("qrank.searching.models", "qrank.searching.notices", "qrank.searching.similar"),
    *("qrank.searching.interpret.answer", "qrank.searching.interpret.typos"),
    *("qrank.searching.matching", "qrank.searching.time_limit", "qrank.searching.reranking"),
    *(
        "qrank.searching.multi_query",
        "qrank.searching.explain",
        "qrank.searching.pack",
        "qrank.searching.rerank",
    ),
    *("qrank.inference.index_model", "qrank.inference.shared", "qrank.inference.cache"),
    *("qrank.cli.output.text_output", "qrank.cli.output.json_output", "qrank.cli.output.spinner"),
    *("qrank.cli.output.progress_lines",),
    *("qrank.cli.input.records", "qrank.cli.input.file_options", "qrank.cli.streams"),
    *("qrank.ingest.extract", "qrank.store.sqlite_store"),
    *(
        "qrank.store.locations",
        "qrank.store.documents",
        "qrank.store.skipped",
        "qrank.store.filters",
    ),
    *("qrank.ingest.content", "qrank.llama.gguf", "qrank.serve.remote", "typer._click.decorators"),
    *("rich.status", "numpy", "numkong", "platformdirs", "Stemmer", "encodings.utf_8_sig"),
)


def up(root: Callable[[str], Any]) -> None:
    """Import and create what commands need."""
    from qrank.analysis.text import tokens
    from qrank.models.registry import Registry
    from qrank.serve.client import SERVED

    for name in USED:
        with suppress(ModuleNotFoundError):  # a command that needs it imports it, or says so
            import_module(name)
    for name in SERVED:
        root(name)
    for text in ("tea", "café"):  # what finds words is compiled at the first text
        next(tokens(text))
    assert Registry().entries


def why_not() -> str:
    """Why a command should be run by the client itself; empty when it should not."""
    from qrank.config import load_settings
    from qrank.errors import QrankError

    try:
        return "the settings say serve = off" if load_settings().get("serve") == "off" else ""
    except QrankError:
        return ""  # the command says what is wrong


def run(main: Callable[..., int], opened: Callable[[str], None]) -> int:
    """Run sys.argv as the command line does, with models in processes of their own. opened is
    called with the indexes."""
    import logging

    from qrank.cli import streams
    from qrank.serve import remote

    remote.use()
    for name in ("qrank", "qrank.serve"):
        logging.getLogger(name).handlers.clear()
    streams.set_up()
    try:
        return main(opened)
    except Exception:  # with --debug
        traceback.print_exc()
        return 1
    finally:
        streams.give_up_stdout()
