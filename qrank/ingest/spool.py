"""Spooling the parts of a long document to a temporary file, before they are indexed."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO

from qrank.ingest.prepare import Part

IN_MEMORY = 8 << 20  # bytes; more is written to a temporary file


@contextmanager
def spooled(parts: Iterable[Part]) -> Iterator[Iterator[Part]]:
    """Read all parts now, and return an iterator over them, which can't fail.

    Raises what iterating over parts raises.
    """
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        for part in parts:
            pickle.dump(part, file, pickle.HIGHEST_PROTOCOL)
        file.seek(0)
        yield _loaded(file)


def _loaded(file: IO[bytes]) -> Iterator[Part]:
    while True:
        try:
            yield pickle.load(file)
        except EOFError:
            return
