"""Unique texts, and the models of their vectors."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from qrank.store import decode
from qrank.store.conditions import LOCATION
from qrank.store.interface import ChunkText, StoredModel

PAGE = 10_000  # ids per query


def models(connection: sqlite3.Connection) -> list[StoredModel]:
    """The models, ordered by id. Raises DamagedError."""
    sql = "SELECT id, name, sha256, dims, prompt_version FROM model ORDER BY id"
    rows = decode.rows(connection.execute(sql), (int, str, str, int, int), "a model")
    result = [StoredModel(*row) for row in rows]
    for model in result:
        decode.dims(model.dims)
    return result


def add_model(connection: sqlite3.Connection, model: StoredModel) -> StoredModel:
    """Add a model (its id is ignored), and return it with its new id. Writes."""
    fields = (model.name, model.sha256, decode.dims(model.dims), model.prompt_version)
    row_id = connection.execute(
        "INSERT INTO model (name, sha256, dims, prompt_version) VALUES (?, ?, ?, ?)", fields
    ).lastrowid
    return StoredModel(row_id or 0, *fields)


def missing(connection: sqlite3.Connection, model: int) -> Iterator[int]:
    """The ids of texts without a vector of the model, ascending, page by page."""
    last = -1
    while page := _lacking(connection, model, "passage WHERE id > ? AND", last):
        yield from page
        last = page[-1]


def without_vector(
    connection: sqlite3.Connection, model: int, text_ids: Sequence[int]
) -> list[int]:
    """The ids among text_ids of texts that have no vector of the model."""
    among = "json_each(?) CROSS JOIN passage ON passage.id = value WHERE"
    pages = (list(text_ids[at : at + PAGE]) for at in range(0, len(text_ids), PAGE))
    return [i for page in pages for i in _lacking(connection, model, among, json.dumps(page))]


def _lacking(connection: sqlite3.Connection, model: int, among: str, value: object) -> list[int]:
    sql = (
        f"SELECT passage.id FROM {among} NOT EXISTS "
        "(SELECT 1 FROM vector WHERE model_id = ? AND passage_id = passage.id) "
        f"ORDER BY passage.id LIMIT {PAGE}"
    )
    rows = connection.execute(sql, (value, model)).fetchall()
    return [row[0] for row in decode.rows(rows, (int,), "a unique text")]


def count_missing(connection: sqlite3.Connection, model: int) -> tuple[int, int]:
    """(texts without a vector of the model, all texts)."""
    # Both counts read few pages; counting vectors would read each row.
    rows = connection.execute(
        "SELECT (SELECT count(*) FROM passage), "
        "(SELECT coalesce(sum(used), 0) FROM segment WHERE model_id = ?)",
        (model,),
    )
    [(texts, vectors)] = decode.rows(rows, (int, int))
    return max(0, texts - vectors), texts


def to_embed(connection: sqlite3.Connection, text_ids: Iterable[int]) -> list[ChunkText]:
    """The parts of texts, in the order of the ids; ids that do not exist are skipped."""
    sql = (
        f"SELECT chunk.passage_id, {LOCATION}, file.title, chunk.heading, chunk.text "
        "FROM chunk JOIN file ON file.id = chunk.file_id WHERE passage_id = ? LIMIT 1"
    )
    result: list[ChunkText] = []
    for text_id in text_ids:
        rows = connection.execute(sql, (text_id,))
        types = (int, str, str, str, str)
        result += [ChunkText(*row) for row in decode.rows(rows, types, f"text {text_id}")]
    return result


def mark_truncated(connection: sqlite3.Connection, model: int, text_ids: Iterable[int]) -> None:
    """Store that texts with a vector were truncated to the model's window. Writes."""
    connection.executemany(
        "UPDATE vector SET cut = 1 WHERE model_id = ? AND passage_id = ?",
        [(model, text_id) for text_id in text_ids],
    )


def ids(connection: sqlite3.Connection, hashes: Iterable[bytes]) -> dict[bytes, int]:
    """The ids of texts by hash; hashes that do not exist are left out."""
    result: dict[bytes, int] = {}
    for value in hashes:
        rows = connection.execute("SELECT hash, id FROM passage WHERE hash = ?", (value,))
        result.update(decode.rows(rows, (bytes, int), "a unique text"))
    return result
