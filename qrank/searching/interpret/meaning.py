"""What a query means in one index: its words and phrases, synonyms, and parts of compounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qrank.searching.interpret.parts import add_compounds
from qrank.searching.interpret.synonyms import add_synonyms
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
    """Parse a query for an index whose documents are in languages.

    syntax: whether "phrases", -words and field:values are understood; otherwise all is plain
    words. unfinished: the last word is still being typed, so compounds are not looked up.
    """
    parsed = parse(text, languages, syntax=syntax, fields=Fields(store))
    if syntax:
        parsed = add_synonyms(parsed, store.path, languages)
    return parsed if unfinished else add_compounds(parsed, store.vocabulary, languages)
