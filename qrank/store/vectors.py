"""Vector candidates: int8 segments scanned exhaustively, the best re-scored from exact vectors.

A unit vector v is stored as codes round(v * 127 / max|v|) with the scale max|v| / 127, so that
codes * scale is v to within half a step; each vector has its own scale (one for all loses half
of the recall). Exact vectors are float16 rows of their own. Little-endian throughout.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from qrank.store.filters import Filter
from qrank.store.schema import SEGMENT_SIZE

RESCORED = 4  # times as many codes as results go to exact re-scoring
_ID, _SCALE, _CODE, _EXACT = np.dtype("<i8"), np.dtype("<f4"), np.dtype("i1"), np.dtype("<f2")


def encode(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(codes of shape (n, dims), scales of shape (n,)) of vectors of shape (n, dims)."""
    peaks = np.abs(vectors).max(axis=1, initial=0.0)
    scales = (np.where(peaks > 0, peaks, 1.0) / 127.0).astype(np.float32)
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales


def add(
    connection: sqlite3.Connection,
    model: int,
    passages: Sequence[int],
    vectors: NDArray[np.float32],
) -> None:
    """Append unit vectors of shape (len(passages), dims), filling up the last segment first.

    Passages that are gone, or have a vector already, are passed over: another run was there.
    """
    wanted = [i for i, passage in enumerate(passages) if _lacks(connection, model, passage)]
    vectors = vectors[wanted]
    codes, scales = encode(vectors)
    ids = np.asarray(passages, dtype=_ID)[wanted]
    exact = vectors.astype(_EXACT)
    at = 0
    while at < len(ids):
        segment, held = _last_segment(connection, model)
        stop = min(len(ids), at + SEGMENT_SIZE - held)
        connection.execute(
            "UPDATE segment SET passages = CAST(passages || ? AS BLOB), "
            "scales = CAST(scales || ? AS BLOB), codes = CAST(codes || ? AS BLOB) WHERE id = ?",
            (ids[at:stop].tobytes(), scales[at:stop].tobytes(), codes[at:stop].tobytes(), segment),
        )
        connection.executemany(
            "INSERT INTO vector (model_id, passage_id, segment_id, exact) VALUES (?, ?, ?, ?)",
            [(model, int(ids[i]), segment, exact[i].tobytes()) for i in range(at, stop)],
        )
        at = stop


def _lacks(connection: sqlite3.Connection, model: int, passage: int) -> bool:
    return bool(
        connection.execute(
            "SELECT EXISTS (SELECT 1 FROM passage WHERE id = :id) AND NOT EXISTS "
            "(SELECT 1 FROM vector WHERE model_id = :model AND passage_id = :id)",
            {"id": passage, "model": model},
        ).fetchone()[0]
    )


def _last_segment(connection: sqlite3.Connection, model: int) -> tuple[int, int]:
    """(id, vectors held) of the segment that has room; an empty one is made when none has."""
    row = connection.execute(
        "SELECT id, length(passages) / 8 FROM segment WHERE model_id = ? ORDER BY id DESC LIMIT 1",
        (model,),
    ).fetchone()
    if row and row[1] < SEGMENT_SIZE:
        return row[0], row[1]
    made = connection.execute(
        "INSERT INTO segment (model_id, passages, scales, codes) VALUES (?, x'', x'', x'')",
        (model,),
    )
    return int(made.lastrowid or 0), 0


def remove(connection: sqlite3.Connection, passages: Iterable[int]) -> None:
    """Take the vectors of passages out, of every model, rewriting the segments that held them."""
    gone = sorted(passages)
    rows: list[tuple[int, int]] = []
    for passage in gone:
        rows += connection.execute(
            "SELECT segment_id, passage_id FROM vector WHERE passage_id = ?", (passage,)
        )
    connection.executemany(
        "DELETE FROM vector WHERE passage_id = ?", [(passage,) for passage in gone]
    )
    for segment, group in groupby(sorted(rows), key=lambda row: row[0]):
        ids, scales, codes = _arrays(
            connection.execute(
                "SELECT passages, scales, codes FROM segment WHERE id = ?", (segment,)
            ).fetchone()
        )
        kept = ~np.isin(ids, [passage for _, passage in group])
        if kept.any():
            blobs = (ids[kept].tobytes(), scales[kept].tobytes(), codes[kept].tobytes())
            connection.execute(
                "UPDATE segment SET passages = ?, scales = ?, codes = ? WHERE id = ?",
                (*blobs, segment),
            )
        else:
            connection.execute("DELETE FROM segment WHERE id = ?", (segment,))


def candidates(
    connection: sqlite3.Connection,
    model: int,
    query: NDArray[np.float32],
    limit: int,
    where: Filter,
) -> list[tuple[int, float]]:
    """The limit best (passage id, cosine) for a unit query of shape (dims,), best first."""
    allowed = _allowed(connection, where)
    best_ids = np.empty(0, dtype=np.int64)
    best_scores = np.empty(0, dtype=np.float32)
    wanted = limit * RESCORED
    for row in connection.execute(
        "SELECT passages, scales, codes FROM segment WHERE model_id = ? ORDER BY id", (model,)
    ):
        ids, scales, codes = _arrays(row)
        scores = (codes.astype(np.float32) @ query) * scales
        if allowed is not None:
            keep = np.isin(ids, allowed)
            ids, scores = ids[keep], scores[keep]
        best_ids = np.concatenate([best_ids, ids])
        best_scores = np.concatenate([best_scores, scores])
        if len(best_ids) > wanted:
            top = np.argpartition(-best_scores, wanted - 1)[:wanted]
            best_ids, best_scores = best_ids[top], best_scores[top]
    exact = cosines(connection, model, query, best_ids.tolist())
    return sorted(exact.items(), key=lambda item: (-item[1], item[0]))[:limit]


def cosines(
    connection: sqlite3.Connection, model: int, query: NDArray[np.float32], passages: Sequence[int]
) -> dict[int, float]:
    """Exact cosines with a unit query of shape (dims,), of those passages that have a vector."""
    found: dict[int, float] = {}
    for passage in passages:
        row = connection.execute(
            "SELECT exact FROM vector WHERE model_id = ? AND passage_id = ?", (model, passage)
        ).fetchone()
        if row:
            vector = np.frombuffer(row[0], dtype=_EXACT).astype(np.float32)
            found[passage] = float(vector @ query / (np.linalg.norm(vector) or 1.0))
    return found


def mean(
    connection: sqlite3.Connection, model: int, passages: Sequence[int]
) -> NDArray[np.float32] | None:
    """The unit vector of shape (dims,) in the middle of passages' vectors; None without any."""
    rows = [
        row[0]
        for passage in passages
        for row in connection.execute(
            "SELECT exact FROM vector WHERE model_id = ? AND passage_id = ?", (model, passage)
        )
    ]
    if not rows:
        return None
    middle = np.stack([np.frombuffer(row, dtype=_EXACT) for row in rows]).astype(np.float32).mean(0)
    unit: NDArray[np.float32] = middle / (np.linalg.norm(middle) or 1.0)
    return unit


def _allowed(connection: sqlite3.Connection, where: Filter) -> NDArray[np.int64] | None:
    condition, arguments = where.sql()
    if not condition:
        return None
    rows = connection.execute(
        "SELECT DISTINCT chunk.passage_id FROM file JOIN chunk ON chunk.file_id = file.id "
        f"WHERE {condition}",
        arguments,
    )
    return np.fromiter((row[0] for row in rows), dtype=np.int64)


def _arrays(
    row: tuple[bytes, bytes, bytes],
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int8]]:
    ids = np.frombuffer(row[0], dtype=_ID)
    codes = np.frombuffer(row[2], dtype=_CODE).reshape(len(ids), -1)
    return ids, np.frombuffer(row[1], dtype=_SCALE), codes
