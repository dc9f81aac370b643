"""The instruction that goes with a query, for embedding models that take one."""

from __future__ import annotations

from qrank.store.filters import Filter
from qrank.store.interface import Store


def instruction(store: Store, filter: Filter) -> str:
    """The instruction that is set for the collections that the filter selects, if it is the same
    for all of them; else "", which stands for the model's default instruction."""
    own = {name: each.instruction for name, each in store.collection_settings().items()}
    if not any(own.values()):
        return ""
    texts = {own.get(name, "") for name in filter.collections or {*store.roots(), *own}}
    return texts.pop() if len(texts) == 1 else ""
