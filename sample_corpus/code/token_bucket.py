"""Token-bucket rate limiting for a single process.

A bucket holds up to ``capacity`` tokens and is refilled at ``rate`` tokens per second. Every
request takes one or more tokens out. When the bucket is empty, the caller is turned away or has
to wait. Short bursts up to the capacity pass, while the long-term average never exceeds the rate.

Tokens are not added by a timer. The bucket works out how many would have arrived since it was
last touched, so that an idle bucket costs nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class TokenBucket:
    """A thread-safe token bucket.

    The clock can be replaced, which makes the limiter testable without sleeping.
    """

    def __init__(
        self,
        rate: float,
        capacity: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if rate <= 0 or capacity <= 0:
            raise ValueError("rate and capacity must be positive")
        self.rate = rate
        self.capacity = capacity
        self._clock = clock
        self._tokens = capacity
        self._updated = clock()
        self._lock = threading.Lock()

    def _refill(self) -> None:
        """Credit the tokens that have accrued since the last call; the lock must be held."""
        now = self._clock()
        elapsed = max(0.0, now - self._updated)
        self._tokens = min(self.capacity, self._tokens + elapsed * self.rate)
        self._updated = now

    def try_acquire(self, tokens: float = 1.0) -> bool:
        """Take tokens if they are there, and say whether it worked. Never blocks."""
        with self._lock:
            self._refill()
            if tokens > self._tokens:
                return False
            self._tokens -= tokens
            return True

    def wait_time(self, tokens: float = 1.0) -> float:
        """Return the seconds until the given number of tokens will be available.

        Use this value for a ``Retry-After`` header. A request for more than the capacity can
        never be granted, and so raises ``ValueError`` and does not return a fantasy number.
        """
        if tokens > self.capacity:
            raise ValueError("more tokens requested than the bucket can hold")
        with self._lock:
            self._refill()
            missing = tokens - self._tokens
            return max(0.0, missing / self.rate)


class KeyedLimiter:
    """One bucket per key, such as a client address, with idle buckets thrown away."""

    def __init__(
        self,
        rate: float,
        capacity: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._capacity = capacity
        self._clock = clock
        self._buckets: dict[str, tuple[TokenBucket, float]] = {}

    def allow(self, key: str) -> bool:
        """Charge one token to the bucket of this key."""
        entry = self._buckets.get(key)
        bucket = entry[0] if entry else TokenBucket(self._rate, self._capacity, self._clock)
        self._buckets[key] = (bucket, self._clock())
        return bucket.try_acquire()

    def sweep(self) -> int:
        """Drop buckets idle for so long that they are full again; return how many."""
        limit = self._clock() - self._capacity / self._rate
        stale = [key for key, (_, used) in self._buckets.items() if used < limit]
        for key in stale:
            del self._buckets[key]
        return len(stale)


if __name__ == "__main__":
    moment = 0.0
    demo = TokenBucket(rate=2.0, capacity=5.0, clock=lambda: moment)
    assert all(demo.try_acquire() for _ in range(5))
    assert not demo.try_acquire()
    assert demo.wait_time() == 0.5
    moment = 1.0
    assert demo.try_acquire(2)
    print("token bucket: ok")
