"""The command line in the warm process: what it imports, and how it runs a command."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

# The modules that the commands import lazily, without those for running models.
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


def load(root: Callable[[str], Any]) -> None:
    """Import and initialize what commands need. root: app.root."""
    from qrank.analysis.text import tokens
    from qrank.models.registry import Registry
    from qrank.serve.client import SERVED

    for name in USED:
        with suppress(ModuleNotFoundError):  # optional; a command that needs it reports it
            import_module(name)
    for name in SERVED:
        root(name)
    for text in ("tea", "café"):  # compiles the tokenizer's patterns
        next(tokens(text))
    assert Registry().entries


def reason_to_decline() -> str:
    """Why the client should run its command itself; "" when this process can run it."""
    from qrank.config import load_settings
    from qrank.errors import QrankError

    try:
        return "the settings say serve = off" if load_settings().get("serve") == "off" else ""
    except QrankError:
        return ""  # the command reports the error


def run(main: Callable[..., int], opened: Callable[[str], None]) -> int:
    """Run sys.argv as the command line does, with models in their own processes; returns the exit
    status. main: app.run; opened: called with the path of each index that is opened."""
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
        streams.flush_stdout()
