"""What an embedding model that takes an instruction is told with a query."""

from __future__ import annotations

from qrank.store.filters import Filter
from qrank.store.interface import Store


def instruction(store: Store, filter: Filter) -> str:
    """The instruction that was set for the collections that are searched, when it is the same for
    all of them; else empty, which stands for the model's own."""
    said = {name: held.instruction for name, held in store.collection_settings().items()}
    if not any(said.values()):
        return ""
    found = {said.get(name, "") for name in filter.collections or {*store.roots(), *said}}
    return found.pop() if len(found) == 1 else ""
