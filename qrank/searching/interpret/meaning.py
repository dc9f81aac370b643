"""What a query means in an index: its words and demands, synonyms, and parts of compounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qrank.searching.interpret.parts import with_parts
from qrank.searching.interpret.synonyms import widened
from qrank.searching.query import ParsedQuery, parse
from qrank.searching.where import Fields

if TYPE_CHECKING:
    from qrank.store.interface import Store


def meaning(
    store: Store,
    text: str,
    languages: Sequence[str],
    *,
    syntax: bool = True,
    unfinished: bool = False,
) -> ParsedQuery:
    """A query taken apart for an index whose documents are in these languages. unfinished: its
    last word is still being typed, so no compound is searched for."""
    parsed = parse(text, languages, syntax=syntax, fields=Fields(store))
    if syntax:
        parsed = widened(parsed, store.path, languages)
    return parsed if unfinished else with_parts(parsed, store.vocabulary, languages)
