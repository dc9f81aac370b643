"""What an embedding model that takes an instruction is told with a query."""

from __future__ import annotations

from qrank.store.filters import Filter
from qrank.store.interface import Store


def instruction(store: Store, filter: Filter) -> str:
    """The instruction that was set for the collections that are searched, when it is the same for
    all of them; else empty, which stands for the model's own."""
    own = {name: each.instruction for name, each in store.collection_settings().items()}
    if not any(own.values()):
        return ""
    texts = {own.get(name, "") for name in filter.collections or {*store.roots(), *own}}
    return texts.pop() if len(texts) == 1 else ""
