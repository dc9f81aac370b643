"""Removing markup from a chunk, for reading and searching.

A chunk's text stays what the file holds between its offsets. Its terms, what models are given of
it, and what is shown on a screen are made of its readable form.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from qrank.markup.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable

# Suffix: the module here whose `readable` takes the markup of such a file away.
_MARKUPS = {
    **dict.fromkeys(("tex", "ltx", "latex"), "latex"),
    **dict.fromkeys(("adoc", "asciidoc"), "asciidoc"),
    "org": "org",
}
_COMPRESSED = ("gz", "bz2", "xz")


def readable(text: str, name: str) -> str:
    """A chunk of a file without its markup, and without what nobody sees; name: the file's name
    or path, whose suffix tells which markup that is. As many lines as the chunk has."""
    stem, _, suffix = name.lower().rpartition(".")
    if suffix in _COMPRESSED:
        suffix = stem.rpartition(".")[2]
    markup = _MARKUPS.get(suffix)
    return visible(_function(markup)(text) if markup else text)


@cache
def _function(markup: str) -> Callable[[str], str]:
    function: Callable[[str], str] = import_module(f"qrank.markup.{markup}").readable
    return function
