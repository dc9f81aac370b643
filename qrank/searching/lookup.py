"""What the index holds under an id or a path, without a search."""

from __future__ import annotations

from qrank.arguments import require_type
from qrank.errors import InputError, NoTextError
from qrank.names import spellings
from qrank.results import StoredChunk
from qrank.store.interface import Store

MOST_BYTES = 256 << 20  # of a file that is read whole


def by_id(store: Store, id: str) -> StoredChunk:
    """A chunk by the id that a result gives. Raises InputError when there is none."""
    require_type("id", id, str)
    number = int(id) if id.isdecimal() and len(id) < 19 else -1
    for stored in store.chunks([number]).values():
        return stored
    raise InputError(
        f"there is no chunk {id!r} in {store.path}",
        hint="qrank search --json prints ids; the chunks of a file that changed get new ones",
    )


def content(stored: StoredChunk) -> bytes:
    """The content of a chunk's file, as it was indexed. Raises InputError when it is another now,
    or can't be read."""
    from qrank.ingest.content import data_hash, open_regular

    try:
        with open_regular(stored.path) as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, NoTextError) as error:
        raise InputError(f"{stored.path} can't be read any more") from error
    if len(data) > MOST_BYTES or data_hash(data) != stored.hash:
        raise InputError(
            f"{stored.path} has changed since it was indexed", hint="run qrank index again"
        )
    return data


def chunks_of_path(store: Store, path: str) -> list[StoredChunk]:
    """The chunks of a file that the user named. Raises InputError when the index does not hold
    it."""
    chunks = chunks_of(store, path)
    if not chunks:
        raise not_held(store, path)
    return chunks


def not_held(store: Store, path: str) -> InputError:
    """What to say of a path that the index does not hold."""
    return InputError(
        f"{path} is not in the index {store.path}",
        hint="index it first with: qrank index PATH (a file without text has no chunks)",
    )


def chunks_of(store: Store, path: str) -> list[StoredChunk]:
    """The chunks of a file that the user named; none when the index does not hold it."""
    files = (store.chunks_of_file(name) for name in spellings(path))
    return next((chunks for chunks in files if chunks), [])
