"""Files within files, read as files of their own."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from qrank.ingest import secrets
from qrank.ingest.extract import documents
from qrank.ingest.extract.building import Builder, Missed
from qrank.ingest.problems import STOPS, problem_of

MAX_DEPTH = 2  # files in files in files
_depth: ContextVar[int] = ContextVar("depth", default=0)


def read(builder: Builder, missed: Missed, data: bytes, name: str, shown: str = "") -> None:
    """Add a file's text to the document that it lies in, under its name; what can't be read is
    noted.

    name: what its format shows by; shown: what it is called, empty where it has no name that says
    anything.
    """
    if _depth.get() >= MAX_DEPTH:
        missed.add(f"{shown or name} (too deep within other files)")
        return
    if secrets.named_so(name) or secrets.begins_so(data[: secrets.HEAD]):
        missed.add(f"{shown or name} (it may hold a key or a password)")
        return
    try:
        with _deeper():
            for document in documents(io.BytesIO(data), name):
                builder.include(document, shown)
                if document.note:
                    missed.add(f"of {shown or name}: {document.note}")
    except STOPS:
        raise
    except MemoryError:
        raise
    except Exception as error:  # its reader may raise anything
        missed.add(f"{shown or name} ({problem_of(error).reason})")


@contextmanager
def _deeper() -> Iterator[None]:
    token = _depth.set(_depth.get() + 1)
    try:
        yield
    finally:
        _depth.reset(token)
