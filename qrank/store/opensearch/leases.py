"""Leases: locks in the engine, for changing a collection or embedding. A lease expires when its
owner does not renew it, so that those of killed runs end soon."""

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

SECONDS, RENEWED = 60.0, 15.0  # validity, and interval of renewal


class HeldError(IndexFileError):
    """Another run has the lease."""


class Lease:
    """A lease on a subject, by one owner, renewed by a thread of its own."""

    def __init__(self, engine: Engine, subject: str, owner: str) -> None:
        """subject: what is locked, in words for messages; owner: identifies this run."""
        self._engine, self._subject, self._owner = engine, subject, owner
        key = hashlib.blake2b(subject.encode(), digest_size=12).hexdigest()
        self._meta, self._id = f"/{engine.place.name}-meta", f"lease-{key}"
        self._seen: dict[str, int] = {}
        self._lost = False
        self._ended = threading.Event()

    def take(self) -> str | None:
        """Take the lease; returns the former owner of an expired one. Raises HeldError."""
        former: str | None = None
        while True:
            answer = self._put("_create", {})
            if answer is None:
                document = self._engine.ask("GET", f"{self._meta}/_doc/{self._id}", accept=(404,))
                if not document.get("found"):
                    continue  # it has just been released
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

    def _put(self, endpoint: str, seen: Options) -> Any:
        """The answer; None when another run has changed it since it was seen."""
        body = {"owner": self._owner, "who": _who(), "until": time.time() + SECONDS}
        path = f"{self._meta}/{endpoint}/{self._id}"
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
        """Raise IndexFileError when the lease was lost."""
        if self._lost:
            raise IndexFileError(
                f"another run has taken over {self._subject} of {self._engine.place}",
                hint="run this again",
            )

    def release(self) -> None:
        """Release the lease."""
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
