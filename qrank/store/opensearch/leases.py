"""Leases: who changes a collection, or embeds, keeps others from it. One ends by itself when the
run that has it does not renew it, so that none outlives a killed run for long."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import threading
import time
from contextlib import suppress
from typing import Any

from qrank.errors import IndexFileError, QrankError
from qrank.store.opensearch.client import Engine, Options

SECONDS, RENEWED = 60.0, 15.0  # how long one is valid, and after how long it is renewed


class HeldError(IndexFileError):
    """Another run has the lease."""


class Lease:
    """A lease on one thing, by one owner. It is renewed by a thread of its own."""

    def __init__(self, engine: Engine, subject: str, owner: str) -> None:
        """subject: what it is on, as shown to people. owner: names this run."""
        self._engine, self._subject, self._owner = engine, subject, owner
        key = hashlib.blake2b(subject.encode(), digest_size=12).hexdigest()
        self._meta, self._id = f"/{engine.place.name}-meta", f"lease-{key}"
        self._seen: dict[str, int] = {}
        self._lost = False
        self._ended = threading.Event()

    def take(self) -> str | None:
        """Take it; returns the owner of one that had run out. Raises HeldError."""
        former: str | None = None
        while True:
            answer = self._put("_create", {})
            if answer is None:
                document = self._engine.ask("GET", f"{self._meta}/_doc/{self._id}", accept=(404,))
                if not document.get("found"):
                    continue  # it has just been given back
                source = document["_source"]
                if float(source["until"]) > time.time() and source["owner"] != self._owner:
                    raise HeldError(
                        f"{self._subject} of {self._engine.place} is being changed by "
                        f"{source['who']}",
                        hint="wait until it has finished; if it was killed, for a minute",
                    )
                former = str(source["owner"])
                self._seen = _seen(document)
                answer = self._put("_doc", self._seen)
            if answer is not None:
                self._seen = _seen(answer)
                threading.Thread(target=self._renew, daemon=True).start()
                return former if former != self._owner else None

    def _put(self, how: str, seen: Options) -> Any:
        """The answer; None when somebody else has changed it."""
        body = {"owner": self._owner, "who": _who(), "until": time.time() + SECONDS}
        path = f"{self._meta}/{how}/{self._id}"
        answer = self._engine.ask(
            "PUT", path, body | {"subject": self._subject}, accept=(409,), options=seen
        )
        return None if answer.get("status") == 409 else answer

    def _renew(self) -> None:
        until = time.monotonic() + SECONDS
        while not self._ended.wait(RENEWED):
            with suppress(QrankError):
                answer = self._put("_doc", self._seen)
                if answer is None:
                    break
                self._seen, until = _seen(answer), time.monotonic() + SECONDS
            if time.monotonic() > until:
                break
        self._lost = not self._ended.is_set()

    def require(self) -> None:
        """Raise IndexFileError when it has run out."""
        if self._lost:
            raise IndexFileError(
                f"another run has taken over {self._subject} of {self._engine.place}",
                hint="run this again",
            )

    def release(self) -> None:
        """Give it back."""
        self._ended.set()
        if not self._lost:
            with suppress(QrankError):
                path = f"{self._meta}/_doc/{self._id}"
                self._engine.ask("DELETE", path, accept=(404, 409), tries=1, options=self._seen)


def _seen(answer: Any) -> dict[str, int]:
    return {"if_seq_no": answer["_seq_no"], "if_primary_term": answer["_primary_term"]}


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = "somebody"
    return f"{user} on {platform.node() or 'another machine'} (process {os.getpid()})"
