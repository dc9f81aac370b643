"""Storage of vectors: int8 codes in segments of slots, which are filled, freed and reused.

A unit vector v is stored as codes round(127 v / max|v|), and read as codes / |codes|: each vector
has its own scale (one scale for all was measured to lose half of the recall), and stays a unit
vector. A segment has up to `capacity(dims)` slots, about a megabyte of codes. A slot with text id
0 is free. The codes are one blob, read and written in place. All numbers are little-endian.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qrank.store import decode
from qrank.store.parallel import snapshot

SEGMENT_BYTES, MOST_SLOTS, FIRST_SLOTS = 1 << 20, 4096, 64
ID, SCALE, CODE = np.dtype("<i8"), np.dtype("<f4"), np.dtype("i1")


_PLACES = (int, int, int)  # segment, slot, text id


def slots(row: Any, segment: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(text id of each slot, scales): the row (used, passages, scales) of a segment, checked.

    Raises DamagedError, also where there is no row.
    """
    what = f"segment {segment}"
    used, text_ids, factors = decode.row(row, (int, bytes, bytes), what)
    if len(text_ids) % ID.itemsize or 2 * len(factors) != len(text_ids):
        raise decode.DamagedError(f"{what} does not have the size of its slots")
    slot_ids, scales = np.frombuffer(text_ids, dtype=ID), np.frombuffer(factors, dtype=SCALE)
    if np.count_nonzero(slot_ids) != used:
        raise decode.DamagedError(f"{what} counts its vectors wrongly")
    if (slot_ids < 0).any() or not np.isfinite(scales).all():
        raise decode.DamagedError(f"{what} has values that are not valid")
    return slot_ids, scales


def codes_of(blob: bytes, segment: int, count: int, dims: int) -> NDArray[np.int8]:
    """The codes of a segment of count slots, of shape (count, dims). Raises DamagedError."""
    if not isinstance(blob, bytes) or len(blob) != count * dims:
        raise decode.DamagedError(f"segment {segment} does not have the size of its slots")
    return np.frombuffer(blob, dtype=CODE).reshape(count, dims)


def dims_of(connection: sqlite3.Connection, model: int) -> int:
    """The dims of a model's vectors. Raises DamagedError."""
    row = connection.execute("SELECT dims FROM model WHERE id = ?", (model,)).fetchone()
    return decode.dims(decode.row(row, (int,), f"model {model}")[0])


def capacity(dims: int) -> int:
    """The maximal number of slots of a segment for vectors of dims."""
    return max(FIRST_SLOTS, min(MOST_SLOTS, SEGMENT_BYTES // dims))


def encode(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Codes of shape (n, dims) for vectors of shape (n, dims). Encoding decoded vectors gives the
    same codes.

    >>> encode(np.array([[0.6, -0.8], [0.0, 0.0]], dtype=np.float32)).tolist()
    [[95, -127], [0, 0]]
    """
    peaks = np.abs(vectors).max(axis=1, initial=0.0, keepdims=True)
    return np.rint(vectors * (127.0 / np.where(peaks > 0, peaks, 1.0))).astype(CODE)


def scales(codes: NDArray[np.int8]) -> NDArray[np.float32]:
    """Factors of shape (n,) that make codes of shape (n, dims) unit vectors; 0 for zero codes."""
    wide = codes.astype(np.float32)
    norms: NDArray[np.float32] = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    return np.where(norms > 0, 1 / np.maximum(norms, 1), 0).astype(SCALE)


def add(
    connection: sqlite3.Connection,
    model: int,
    text_ids: Sequence[int],
    vectors: NDArray[np.float32],
) -> None:
    """Store unit vectors of shape (len(text_ids), dims) in free slots. Writes.

    Texts that were removed, or have got a vector, by another process are skipped.
    """
    lacking = {
        row[0]
        for row in connection.execute(
            "SELECT passage.id FROM json_each(?) CROSS JOIN passage ON passage.id = value "
            "WHERE NOT EXISTS "
            "(SELECT 1 FROM vector WHERE model_id = ? AND passage_id = passage.id)",
            (json.dumps(list(text_ids)), model),
        )
    }
    rows = [i for i, text_id in enumerate(text_ids) if text_id in lacking]
    if not rows:
        return
    codes = encode(vectors[rows])
    _place(connection, model, np.asarray(text_ids, dtype=ID)[rows], codes)


def _place(
    connection: sqlite3.Connection, model: int, ids: NDArray[np.int64], codes: NDArray[np.int8]
) -> None:
    factors = scales(codes)
    at = 0
    while at < len(ids):
        segment, slot_ids, slot_scales = _with_room(
            connection, model, codes.shape[1], len(ids) - at
        )
        free = np.flatnonzero(slot_ids == 0)[: len(ids) - at]
        stop = at + len(free)
        slot_ids[free], slot_scales[free] = ids[at:stop], factors[at:stop]
        _update(connection, segment, slot_ids, slot_scales)
        blob: Any  # (typeshed does not know that its slices are bytes)
        with connection.blobopen("code", "codes", segment) as blob:
            if len(blob) != len(slot_ids) * codes.shape[1]:
                raise decode.DamagedError(f"segment {segment} does not have the size of its slots")
            for first, last in _runs(free):
                block = codes[at + first : at + last]
                begin = int(free[first]) * codes.shape[1]
                blob[begin : begin + block.size] = block.tobytes()
        connection.executemany(
            "INSERT OR REPLACE INTO vector (model_id, passage_id, segment_id, slot) "
            "VALUES (?, ?, ?, ?)",
            [(model, int(ids[at + i]), segment, int(slot)) for i, slot in enumerate(free)],
        )
        at = stop


def compact(connection: sqlite3.Connection, model: int) -> None:
    """Merge partly filled segments, so that at most one is left. Writes."""
    dims = dims_of(connection, model)
    partial = connection.execute(
        "SELECT id FROM segment WHERE model_id = ? AND used < ? ORDER BY used",
        (model, capacity(dims)),
    ).fetchall()
    for (segment,) in partial[:-1]:
        row = connection.execute(
            "SELECT used, passages, scales, codes FROM segment JOIN code ON segment_id = id "
            "WHERE id = ?",
            (segment,),
        ).fetchone()
        slot_ids, _ = slots(row and row[:3], segment)
        if np.count_nonzero(slot_ids) == capacity(dims):  # filled by vectors moved before
            continue
        _drop(connection, segment)
        codes = codes_of(row[3], segment, len(slot_ids), dims)
        _place(connection, model, slot_ids[slot_ids > 0], codes[slot_ids > 0])


def _with_room(
    connection: sqlite3.Connection, model: int, dims: int, room: int
) -> tuple[int, NDArray[np.int64], NDArray[np.float32]]:
    """(id, text id of each slot, scales) of the fullest segment with a free slot, or of a new one;
    enlarged for up to room more vectors."""
    most = capacity(dims)
    row = connection.execute(
        "SELECT id, used, passages, scales FROM segment WHERE model_id = ? AND used < ? "
        "ORDER BY used DESC LIMIT 1",
        (model, most),
    ).fetchone()
    if row is None:
        row = connection.execute(
            "INSERT INTO segment (model_id, used, passages, scales) VALUES (?, 0, x'', x'') "
            "RETURNING id, used, passages, scales",
            (model,),
        ).fetchone()
        connection.execute("INSERT INTO code (segment_id, codes) VALUES (?, x'')", (row[0],))
    slot_ids, slot_scales = slots(row[1:], row[0])
    size = max(len(slot_ids), FIRST_SLOTS)
    while size < most and size - np.count_nonzero(slot_ids) < room:
        size = min(most, 2 * size)
    if size > len(slot_ids):  # grown by doubling, so that small indexes stay small
        more = size - len(slot_ids)
        slot_ids = np.pad(slot_ids, (0, more))
        slot_scales = np.pad(slot_scales, (0, more))
        connection.execute(
            "UPDATE code SET codes = CAST(codes || zeroblob(?) AS BLOB) WHERE segment_id = ?",
            (more * dims, row[0]),
        )
    return row[0], slot_ids.copy(), slot_scales.copy()


def _update(
    connection: sqlite3.Connection,
    segment: int,
    slot_ids: NDArray[np.int64],
    slot_scales: NDArray[np.float32],
) -> None:
    connection.execute(
        "UPDATE segment SET used = ?, passages = ?, scales = ? WHERE id = ?",
        (int(np.count_nonzero(slot_ids)), slot_ids.tobytes(), slot_scales.tobytes(), segment),
    )


def _runs(slots: NDArray[np.intp]) -> Iterable[tuple[int, int]]:
    """(first, end) index ranges of consecutive slots; slots are ascending.

    >>> list(_runs(np.array([3, 4, 5, 9, 11])))
    [(0, 3), (3, 4), (4, 5)]
    """
    breaks = (np.flatnonzero(np.diff(slots) != 1) + 1).tolist()
    return zip([0, *breaks], [*breaks, len(slots)], strict=True)


def remove(connection: sqlite3.Connection, text_ids: Iterable[int]) -> None:
    """Remove the vectors of unique texts, of all models. Writes. Raises DamagedError."""
    places: list[tuple[int, int, int]] = []
    for text_id in text_ids:
        places += decode.rows(
            connection.execute(
                "DELETE FROM vector WHERE passage_id = ? RETURNING segment_id, slot, passage_id",
                (text_id,),
            ),
            _PLACES,
            f"the vector of text {text_id}",
        )
    for segment, group in groupby(sorted(places), key=lambda place: place[0]):
        row = connection.execute(
            "SELECT used, passages, scales FROM segment WHERE id = ?", (segment,)
        ).fetchone()
        slot_ids, slot_scales = slots(row, segment)
        slot_ids = slot_ids.copy()
        for _, slot, text_id in group:
            if not (0 <= slot < len(slot_ids) and slot_ids[slot] == text_id):
                raise decode.DamagedError(f"the vector of text {text_id} is not in its place")
            slot_ids[slot] = 0
        if slot_ids.any():
            _update(connection, segment, slot_ids, slot_scales)
        else:
            _drop(connection, segment)


def remove_model(connection: sqlite3.Connection, model: int) -> None:
    """Remove a model and all its vectors. Writes."""
    connection.execute("DELETE FROM vector WHERE model_id = ?", (model,))
    for (segment,) in connection.execute(
        "SELECT id FROM segment WHERE model_id = ?", (model,)
    ).fetchall():
        _drop(connection, segment)
    connection.execute("DELETE FROM model WHERE id = ?", (model,))


def _drop(connection: sqlite3.Connection, segment: int) -> None:
    connection.execute("DELETE FROM segment WHERE id = ?", (segment,))
    connection.execute("DELETE FROM code WHERE segment_id = ?", (segment,))


def read(
    connection: sqlite3.Connection, model: int, text_ids: Sequence[int]
) -> tuple[list[int], NDArray[np.float32]]:
    """(ids of those texts that have a vector, their unit vectors of shape (n, dims)).

    Raises DamagedError.
    """
    places: list[tuple[int, int, int]] = []
    ids: list[int] = []
    rows: list[bytes] = []
    blob: Any
    with snapshot(connection):
        for text_id in text_ids:
            places += decode.rows(
                connection.execute(
                    "SELECT segment_id, slot, passage_id FROM vector "
                    "WHERE model_id = ? AND passage_id = ?",
                    (model, text_id),
                ),
                _PLACES,
                f"the vector of text {text_id}",
            )
        if not places:
            return [], np.empty((0, 0), dtype=np.float32)
        dims = dims_of(connection, model)
        for segment, group in groupby(sorted(places), key=lambda place: place[0]):
            with connection.blobopen("code", "codes", segment, readonly=True) as blob:
                for _, slot, text_id in group:
                    if not 0 <= slot < len(blob) // dims:
                        raise decode.DamagedError(f"the vector of text {text_id} is missing")
                    ids.append(text_id)
                    rows.append(blob[slot * dims : (slot + 1) * dims])
    codes = np.frombuffer(b"".join(rows), dtype=CODE).reshape(len(rows), dims)
    return ids, codes * scales(codes)[:, None]
