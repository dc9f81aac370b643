"""A small in-memory cache that forgets the least recently used entry, or the one too old.

Entries leave in two ways. When the cache is full, the key that nobody has asked for the longest
makes room for the new one. And independently of that, an entry older than ``ttl`` seconds counts
as absent. An ``OrderedDict`` keeps keys in order of use: the front is the coldest, the back the
most recent, and both operations take constant time.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass
class CacheStats:
    """Counters that show whether the cache is worth its memory."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0

    @property
    def hit_rate(self) -> float:
        """Share of lookups that were answered, or 0.0 before the first lookup."""
        total = self.hits + self.misses
        return self.hits / total if total else 0.0


class LRUCache(Generic[K, V]):
    """A mapping of bounded size with least-recently-used eviction and optional expiry."""

    def __init__(
        self,
        max_entries: int,
        ttl: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_entries < 1:
            raise ValueError("max_entries must be at least 1")
        self.max_entries = max_entries
        self.ttl = ttl
        self.stats = CacheStats()
        self._clock = clock
        self._entries: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K, default: V | None = None) -> V | None:
        """Look a key up and mark it as just used. An expired entry is removed on the way."""
        entry = self._entries.get(key)
        if entry is None:
            self.stats.misses += 1
            return default
        value, stored_at = entry
        if self.ttl is not None and self._clock() - stored_at > self.ttl:
            del self._entries[key]
            self.stats.misses += 1
            return default
        self._entries.move_to_end(key)
        self.stats.hits += 1
        return value

    def put(self, key: K, value: V) -> None:
        """Store a value and evict the coldest entry if there are too many."""
        self._entries[key] = (value, self._clock())
        self._entries.move_to_end(key)
        if len(self._entries) > self.max_entries:
            self._entries.popitem(last=False)
            self.stats.evictions += 1

    def get_or_compute(self, key: K, compute: Callable[[], V]) -> V:
        """Return the stored value, or compute, store and return it.

        If ``compute`` raises, nothing is stored, so that a failure is not remembered.
        """
        missing = object()
        found = self.get(key, missing)  # type: ignore[arg-type]
        if found is not missing:
            return found  # type: ignore[return-value]
        value = compute()
        self.put(key, value)
        return value


if __name__ == "__main__":
    cache: LRUCache[str, int] = LRUCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.get("a")
    cache.put("c", 3)
    assert cache.get("b") is None
    assert cache.get("a") == 1
    assert cache.get_or_compute("d", lambda: 4) == 4
    assert cache.stats.evictions == 2
    print(f"lru cache: ok, hit rate {cache.stats.hit_rate:.2f}")
