"""Unique texts and the models that have vectors of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence

from qrank.store import decode
from qrank.store.conditions import LOCATION
from qrank.store.interface import ChunkText, StoredModel


def models(connection: sqlite3.Connection) -> list[StoredModel]:
    """The models by id."""
    sql = "SELECT id, name, sha256, dims, prompt_version FROM model ORDER BY id"
    rows = decode.rows(connection.execute(sql), (int, str, str, int, int), "a model")
    found = [StoredModel(*row) for row in rows]
    for model in found:
        decode.dims(model.dims)
    return found


def add_model(connection: sqlite3.Connection, model: StoredModel) -> StoredModel:
    """Note a model (its id is ignored) and return it with the id it got."""
    fields = (model.name, model.sha256, decode.dims(model.dims), model.prompt_version)
    row_id = connection.execute(
        "INSERT INTO model (name, sha256, dims, prompt_version) VALUES (?, ?, ?, ?)", fields
    ).lastrowid
    return StoredModel(row_id or 0, *fields)


def missing(
    connection: sqlite3.Connection, model: int, text_ids: Sequence[int] | None
) -> list[int]:
    """The texts, of all or of these, without a vector of the model, by id."""
    among = (
        "passage" if text_ids is None else "json_each(?) CROSS JOIN passage ON passage.id = value"
    )
    rows = connection.execute(
        f"SELECT passage.id FROM {among} WHERE NOT EXISTS "
        "(SELECT 1 FROM vector WHERE model_id = ? AND passage_id = passage.id) "
        "ORDER BY passage.id",
        (model,) if text_ids is None else (json.dumps(list(text_ids)), model),
    )
    return [row[0] for row in decode.rows(rows, (int,))]


def count_missing(connection: sqlite3.Connection, model: int) -> tuple[int, int]:
    """(texts without a vector of the model, all)."""
    # Both are answered from a few pages; a count of vectors would read each row.
    rows = connection.execute(
        "SELECT (SELECT count(*) FROM passage), "
        "(SELECT coalesce(sum(used), 0) FROM segment WHERE model_id = ?)",
        (model,),
    )
    [(texts, vectors)] = decode.rows(rows, (int, int))
    return max(0, texts - vectors), texts


def to_embed(connection: sqlite3.Connection, text_ids: Iterable[int]) -> list[ChunkText]:
    """What texts are made from, in the order of the ids, as far as they exist."""
    sql = (
        f"SELECT chunk.passage_id, {LOCATION}, file.title, chunk.heading, chunk.text "
        "FROM chunk JOIN file ON file.id = chunk.file_id WHERE passage_id = ? LIMIT 1"
    )
    found: list[ChunkText] = []
    for text_id in text_ids:
        rows = connection.execute(sql, (text_id,))
        types = (int, str, str, str, str)
        found += [ChunkText(*row) for row in decode.rows(rows, types, f"text {text_id}")]
    return found


def mark_truncated(connection: sqlite3.Connection, model: int, text_ids: Iterable[int]) -> None:
    """Note that the model did not read the ends of texts."""
    connection.executemany(
        "UPDATE vector SET cut = 1 WHERE model_id = ? AND passage_id = ?",
        [(model, text_id) for text_id in text_ids],
    )


def ids(connection: sqlite3.Connection, hashes: Iterable[bytes]) -> dict[bytes, int]:
    """The texts that have one of these hashes."""
    found: dict[bytes, int] = {}
    for value in hashes:
        rows = connection.execute("SELECT hash, id FROM passage WHERE hash = ?", (value,))
        found.update(decode.rows(rows, (bytes, int), "a unique text"))
    return found
