"""Vector candidates: an exhaustive scan with quantised vectors, then rescoring of the best.

The scan computes int8 dot products of codes and a quantised query (numkong is four times as fast
as numpy, which has no int8 product); the best are rescored with the float32 query.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial

import numkong
import numpy as np
from numpy.typing import NDArray

from qrank.store import conditions, segments
from qrank.store.decode import DamagedError
from qrank.store.filters import Filter
from qrank.store.parallel import gather, threads_for

RESCORED, LEAST_RESCORED = 4, 256  # vectors rescored: a multiple of the limit, and the minimum
CHECKED_AT_ONCE = 256  # of the nearest vectors, to which a filter is applied
ROUNDING = 5e-3  # largest error of a cosine from quantising the query
SEGMENTS_A_THREAD = 16  # fewer are not worth another thread with its connection


class _Shortlist:
    """The best size of the vectors added so far, with their codes (up to twice as many between
    calls of truncate)."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.floor = -np.inf  # only higher scores can be among the best
        self.parts: list[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int8]]] = []
        self._count = 0

    def add(
        self, ids: NDArray[np.int64], scores: NDArray[np.float32], codes: NDArray[np.int8]
    ) -> None:
        """Add those vectors that score above the floor. ids, scores: of shape (n,), id 0 for a free
        slot; codes: of shape (n, dims)."""
        above = np.flatnonzero((scores > self.floor) & (ids > 0))
        if len(above):
            self.parts.append((ids[above], scores[above], codes[above]))
            self._count += len(above)
            if self._count > 2 * self.size:
                self.truncate()

    def truncate(self) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """Drop all but the best size; returns their ids and codes."""
        ids, scores, codes = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        if len(ids) > self.size:
            best = np.argpartition(-scores, self.size - 1)[: self.size]
            ids, scores, codes = ids[best], scores[best], codes[best]
            self.floor = float(scores.min())
        self.parts, self._count = [(ids, scores, codes)], len(ids)
        return ids, codes


def candidates(
    connection: sqlite3.Connection,
    connect: Callable[[], sqlite3.Connection],
    model: int,
    query: NDArray[np.float32],
    limit: int,
    filter: Filter,
) -> list[tuple[int, float]]:
    """The limit best (text id, cosine) for a unit query of shape (dims,), best first.

    connect: see parallel.gather. Raises DamagedError when the stored vectors have other dims.
    """
    if segments.dims_of(connection, model) != len(query):
        raise DamagedError(f"model {model} has vectors of another length than it returns")
    rows = connection.execute("SELECT id FROM segment WHERE model_id = ? ORDER BY id", (model,))
    ids = [row[0] for row in rows]
    size = max(RESCORED * limit, LEAST_RESCORED)
    condition, _ = conditions.of_chunk(filter)
    if not condition:
        return _nearest(connection, connect, ids, query, None, size)[0][:limit]
    chunk_ids, most = conditions.plan(filter, connection, limit)
    if chunk_ids is None and not filter.required:
        # Many chunks pass: usually enough of the nearest vectors do.
        near, floor = _nearest(connection, connect, ids, query, None, max(size, most))
        result: list[tuple[int, float]] = []
        for at in range(0, len(near), CHECKED_AT_ONCE):
            part = near[at : at + CHECKED_AT_ONCE]
            passed = conditions.texts_among(filter, connection, [i for i, _ in part])
            result += [hit for hit in part if hit[0] in passed]
            if len(result) >= limit:
                break
        if floor == -np.inf:  # all vectors were examined
            return result[:limit]
        # Enough if no other vector can be nearer, even with the error of the quantised query.
        if len(result) >= limit and result[limit - 1][1] > floor + ROUNDING:
            return result[:limit]
    allowed = conditions.of_texts(filter, connection, chunk_ids)
    return _nearest(connection, connect, ids, query, allowed, size)[0][:limit]


def _nearest(
    connection: sqlite3.Connection,
    connect: Callable[[], sqlite3.Connection],
    ids: Sequence[int],
    query: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None,
    size: int,
) -> tuple[list[tuple[int, float]], float]:
    """((text id, cosine) of the size nearest vectors, or somewhat more, best first; an upper bound
    of the other cosines, by the quantised query). ids: the segments to scan; allowed: see
    conditions.of_texts."""
    threads = threads_for(connection, 1 + len(ids) // SEGMENTS_A_THREAD)
    parts = [partial(_scan, ids[i::threads], query, allowed, size) for i in range(threads)]
    of_query = float(segments.scales(segments.encode(query[None, :]))[0])
    cosines: dict[int, float] = {}
    floor = -np.inf
    for shortlist in gather(connection, connect, parts):
        if shortlist.parts:
            text_ids, codes = shortlist.truncate()
            floor = max(floor, shortlist.floor)
            scores = (codes.astype(np.float32) @ query) * segments.scales(codes)
            cosines.update(zip(text_ids.tolist(), scores.tolist(), strict=True))
    return sorted(cosines.items(), key=lambda item: (-item[1], item[0])), floor * of_query


def _scan(
    ids: Sequence[int],
    query: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None,
    size: int,
    connection: sqlite3.Connection,
) -> _Shortlist:
    shortlist = _Shortlist(size)
    packed = numkong.dots_pack(segments.encode(query[None, :]))
    for segment in ids:
        row = connection.execute(
            "SELECT used, passages, scales FROM segment WHERE id = ?", (segment,)
        ).fetchone()
        if row is None:  # removed by another process since ids were read
            continue
        text_ids, scales = segments.slots(row, segment)
        if allowed is not None:
            text_ids = np.where(allowed[np.minimum(text_ids, len(allowed) - 1)], text_ids, 0)
            if not text_ids.any():
                continue
        with connection.blobopen("code", "codes", segment, readonly=True) as blob:
            codes = segments.codes_of(blob.read(), segment, len(text_ids), len(query))
        dots = np.asarray(numkong.dots_packed(codes, packed)).reshape(-1)
        shortlist.add(text_ids, dots * scales, codes)
    return shortlist
