"""Getting chunks by id or path, without a search."""

from __future__ import annotations

import re
from pathlib import Path

from qrank.arguments import require_type
from qrank.errors import InputError, NoTextError
from qrank.names import is_folder, spellings
from qrank.results import IndexedChunk, StoredChunk
from qrank.searching.build_filter import build_filter
from qrank.searching.places.ids import find
from qrank.searching.places.parse import Place, parse_place, within
from qrank.searching.shown import indexed_chunk
from qrank.store.interface import Store

_LIKE_ID = re.compile(r"[\w-]{1,40}")
MOST_BYTES = 256 << 20  # of a file


def by_id(store: Store, id: str) -> StoredChunk:
    """The chunk with an id as results have it. Raises InputError when there is none."""
    require_type("id", id, str)
    if stored := find(store, id):
        return stored
    raise InputError(
        f"there is no chunk {id!r} in {store.path}",
        hint="qrank search --json prints ids; a chunk that changed gets a new one",
    )


def chunks_at(store: Store, text: str, around: int) -> list[IndexedChunk]:
    """The chunks at a place (`Index.at`): an id, or a path, maybe with lines or a page, or a glob.

    around: so many lines before and after, for an id or lines. Raises InputError when nothing is
    indexed there."""
    if not text.strip():
        raise InputError("the place is empty", hint="give the id of a chunk, or PATH:FROM-TO")
    if stored := find(store, text):
        if not around:
            return [indexed_chunk(stored)]
        lines = stored.chunk.start_line - around, stored.chunk.end_line + around
        return within(_shown(store, stored.location), Place(stored.location, *lines))
    if chunks_of(store, text):
        return _shown(store, text)
    place = parse_place(text)
    if place.path != text and chunks_of(store, place.path):
        require_order(place)
        lines = place.first - around, place.last + around
        chunks = within(_shown(store, place.path), Place(place.path, *lines, place.page))
        if not chunks:
            raise InputError(
                f"{place.path} has no text at {text.removeprefix(place.path)}",
                hint=f"it has {_extent(_shown(store, place.path), place)}",
            )
        return chunks
    if any(sign in text for sign in "*?["):
        filter = build_filter(path=text)
        if paths := [*store.locations(filter)]:
            return [chunk for path in paths for chunk in _shown(store, path)]
        raise InputError(f"no indexed file matches {text}", hint="quote globs: 'notes/*.md'")
    if _LIKE_ID.fullmatch(text) and not is_folder(text):
        by_id(store, text)
    raise not_indexed(store, place.path)


def require_order(place: Place) -> None:
    """Raise InputError for a line range that ends before it starts."""
    if place.last < place.first:
        raise InputError(f"{place.path}: line {place.last} comes before line {place.first}")


def _extent(chunks: list[IndexedChunk], place: Place) -> str:
    """The range of pages, or else lines, in which a file has text, for a message."""
    if place.page is None:
        return f"lines {chunks[0].start_line} to {max(chunk.end_line for chunk in chunks)}"
    pages = sorted({chunk.page for chunk in chunks if chunk.page is not None})
    return f"pages {pages[0]} to {pages[-1]}" if pages else "no pages"


def _shown(store: Store, path: str) -> list[IndexedChunk]:
    return [indexed_chunk(stored) for stored in chunks_of(store, path)]


def content(stored: StoredChunk) -> bytes:
    """The bytes of a chunk's file. Raises InputError when the file can't be read, or has changed
    since it was indexed."""
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
    """The chunks of a file that the user named. Raises InputError when it is not in the index."""
    chunks = chunks_of(store, path)
    if not chunks:
        raise not_indexed(store, path)
    return chunks


def not_indexed(store: Store, path: str) -> InputError:
    """The error for a path that is not in the index."""
    if is_folder(path):
        return InputError(f"{path} is a folder", hint=f"name a file in it, or '{Path(path)}/*'")
    return InputError(
        f"{path} is not in the index {store.path}",
        hint="index it first with: qrank index PATH (a file without text has no chunks)",
    )


def chunks_of(store: Store, path: str) -> list[StoredChunk]:
    """The chunks of a file that the user named; [] when it is not in the index."""
    files = (store.chunks_of_file(name) for name in spellings(path))
    return next((chunks for chunks in files if chunks), [])
