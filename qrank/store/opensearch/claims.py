"""Claims on unique texts: one run at a time embeds for an index, by a lease; others wait."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from qrank.store.opensearch.client import Engine
from qrank.store.opensearch.leases import HeldError, Lease

LOOK_SECONDS = 2.0  # between attempts to take the lease


class Claims:
    """Claims of a run, which succeed for all texts when it has the lease, else for none."""

    def __init__(self, lease: Lease) -> None:
        self._lease, self.is_held = lease, False
        self._looked_at = -LOOK_SECONDS

    def take(self, text_ids: Sequence[int]) -> list[int]:
        """Claim unique texts; returns those that no other run has claimed."""
        if not self.is_held:
            if time.monotonic() - self._looked_at < LOOK_SECONDS:
                return []
            try:
                self._lease.take()
                self.is_held = True
            except HeldError:
                time.sleep(LOOK_SECONDS)
                self._looked_at = time.monotonic()
                return []
        self._lease.require()
        return list(text_ids)

    def release(self, text_ids: Sequence[int] | None = None) -> None:
        """Does nothing: the lease is kept until the end."""


@contextmanager
def open_claims(engine: Engine) -> Iterator[Claims]:
    """Claims on unique texts of an index; released at the end of the context."""
    lease = Lease(engine, "embedding", secrets.token_hex(8))
    claims = Claims(lease)
    try:
        yield claims
    finally:
        if claims.is_held:
            lease.release()
