"""Checking an index file: by SQLite's own check, and for missing or dangling data."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

from qrank.reports import Check
from qrank.store import decode, schema
from qrank.store.connection import hardened

REPAIR = "restore a copy, or move the file away and run qrank index again"
EMBED = "run qrank index again"


def check(connection: sqlite3.Connection, path: Path) -> list[Check]:
    """Run all checks of the index at path, which connection has open for reading."""
    result = [Check("version", "ok", f"index version {schema.version(connection)}")]
    for name, find_problems in _CHECKS.items():
        try:
            problems = list(find_problems(connection, path))
        except sqlite3.DatabaseError as error:
            problems = [str(error)]
        detail = "; ".join(problems[:5]) + ("; and more" if len(problems) > 5 else "")
        result.append(
            Check(name, "fail", detail, REPAIR) if problems else Check(name, "ok", "intact")
        )
    if all(item.status == "ok" for item in result):
        result.append(_unfinished(connection))
    return result


def engine() -> Check:
    """Check whether this Python's SQLite has FTS5."""
    detail = f"SQLite {sqlite3.sqlite_version}"
    try:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("CREATE VIRTUAL TABLE words USING fts5(body)")
    except sqlite3.Error as error:
        return Check("sqlite", "fail", f"{detail} without FTS5 ({error})", "use another Python")
    return Check("sqlite", "ok", f"{detail} with FTS5")


def _pages(connection: sqlite3.Connection, path: Path) -> Iterator[str]:
    for (message,) in connection.execute("PRAGMA integrity_check(5)"):
        if message != "ok":
            yield message


def _references(connection: sqlite3.Connection, path: Path) -> Iterator[str]:
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield f"row {row} of {table} has no {parent}"
    yield from _counted(
        connection,
        "unique texts without a chunk",
        "SELECT count(*) FROM passage WHERE NOT EXISTS "
        "(SELECT 1 FROM chunk WHERE chunk.passage_id = passage.id) "
        "AND id NOT IN (SELECT passage_id FROM loose)",
    )


def _terms(connection: sqlite3.Connection, path: Path) -> Iterator[str]:
    # terms_docsize is an internal table of FTS5, with a row for each row of terms.
    for what, one, other in (
        ("chunks without terms", "chunk", "terms_docsize"),
        ("terms without a chunk", "terms_docsize", "chunk"),
    ):
        yield from _counted(
            connection,
            what,
            f"SELECT count(*) FROM {one} WHERE id NOT IN (SELECT id FROM {other})",
        )
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as writer:
            hardened(writer)
            writer.execute("INSERT INTO terms (terms) VALUES ('integrity-check')")
    except sqlite3.OperationalError:  # read-only or locked: FTS5 checks itself only when writable
        return
    except sqlite3.DatabaseError as error:
        yield f"the full-text index is inconsistent ({error})"


def _packed_terms(connection: sqlite3.Connection, path: Path) -> Iterator[str]:
    rows = connection.execute("SELECT id, text, packed_terms FROM chunk")
    for i, text, packed in decode.rows(rows, (int, str, bytes), "a chunk"):
        try:
            decode.terms(packed, text, f"chunk {i}")
        except decode.DamagedError as error:
            yield str(error)


def _values(connection: sqlite3.Connection, path: Path) -> Iterator[str]:
    """Values that do not have the type of their column, which SQLite allows, or are invalid."""
    kinds = {"INTEGER": "integer", "TEXT": "text", "BLOB": "blob", "REAL": "real"}
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        schema.upgrade(fresh)
        tables = [
            row[0]
            for row in fresh.execute(
                "SELECT name FROM sqlite_master WHERE sql LIKE "
                "'CREATE TABLE%' AND name NOT LIKE 'terms%' AND name NOT LIKE 'sqlite%'"
            )
        ]
        columns = {
            table: fresh.execute(f"PRAGMA table_info({table})").fetchall() for table in tables
        }
    for table, described in columns.items():
        for _, column, kind, required, _, key in described:
            empty = "" if required or key else ", 'null'"
            yield from _counted(
                connection,
                f"rows of {table} with a wrong {column}",
                f"SELECT count(*) FROM {table} WHERE typeof({column}) NOT IN "
                f"('{kinds[kind]}'{empty})",
            )
    for row in connection.execute("SELECT dims FROM model"):
        decode.dims(decode.row(row, (int,), "a model")[0])
    # Read each chunk as a search would.
    for row in connection.execute(
        f"SELECT {decode.STORED_CHUNK} FROM chunk {decode.OF_STORED_CHUNK}"
    ):
        decode.stored_chunk(row)


def _segments(connection: sqlite3.Connection, path: Path) -> Iterator[str]:
    from qrank.store import segments

    models = connection.execute("SELECT id, dims FROM model").fetchall()
    for model, dims in decode.rows(models, (int, int), "a model"):
        vectors = {
            (segment, slot): text_id
            for segment, slot, text_id in connection.execute(
                "SELECT segment_id, slot, passage_id FROM vector WHERE model_id = ?", (model,)
            )
        }
        rows = connection.execute(
            "SELECT id, length(codes), used, passages, scales FROM segment "
            "LEFT JOIN code ON segment_id = id WHERE model_id = ?",
            (model,),
        )
        for segment, code_bytes, *row in rows:
            try:
                slots = segments.slots(row, segment)[0].tolist()
            except decode.DamagedError as error:
                yield str(error)
                continue
            if code_bytes != dims * len(slots):
                yield f"segment {segment} does not have the size of its slots"
            taken = [(slot, text_id) for slot, text_id in enumerate(slots) if text_id]
            wrong = sum(vectors.pop((segment, slot), None) != text_id for slot, text_id in taken)
            if wrong:
                yield f"{wrong} slots of segment {segment} have unknown vectors"
        if vectors:
            yield f"{len(vectors)} vectors are not in their place"


_CHECKS: dict[str, Callable[[sqlite3.Connection, Path], Iterator[str]]] = {
    "file": _pages,
    "values": _values,
    "references": _references,
    "full text": _terms,
    "stored terms": _packed_terms,
    "vectors": _segments,
}


def _unfinished(connection: sqlite3.Connection) -> Check:
    """Check for work that an interrupted run left, which is not damage."""
    left = chain(
        _counted(connection, "unused texts to delete", "SELECT count(*) FROM loose"),
        *(
            _counted(
                connection,
                f"unique texts without a vector from {name}",
                "SELECT (SELECT count(*) FROM passage) - "
                f"(SELECT count(*) FROM vector WHERE model_id = {int(model)})",
            )
            for model, name in connection.execute("SELECT id, name FROM model").fetchall()
        ),
    )
    reason = "; ".join(left)
    if not reason:
        return Check("complete", "ok", "every chunk has its vectors")
    return Check("complete", "warn", f"an interrupted run left {reason}", EMBED)


def _counted(connection: sqlite3.Connection, what: str, sql: str) -> Iterator[str]:
    count = connection.execute(sql).fetchone()[0]
    if count:
        yield f"{what}: {count}"
