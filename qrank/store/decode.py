"""Checking the values of rows before they are used: an index file may be damaged or malicious.

SQLite allows any type in any column, so neither types nor ranges of values can be relied on.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from qrank.analysis.terms import unpack
from qrank.results import Chunk, NewChunk, Signature, StoredChunk

Types = Sequence[Any]  # of a row's values, each a type or a union of types
LONGEST_TEXT = 1 << 20  # characters of a title, a heading, a unique text, the fields of a document
LONGEST_VALUE = 64 << 20  # bytes of one value, or of a row: SQLite refuses to read a longer one
MOST_DIMS = 1 << 16
DEEPEST = 64  # levels of nested lists and objects in the fields of a document
MOST_TEXTS = 1 << 31
MOST_CHUNKS = 1 << 53


class DamagedError(sqlite3.DatabaseError):
    """A value that qrank never writes to an index; `translate_sqlite_errors` names the file."""


def rows(cursor: Iterable[Any], types: Types, what: str = "a row") -> Iterator[Any]:
    """Yield the rows of a result, whose values must have these types. what: a row, for the message.

    Raises DamagedError.
    """
    for values in cursor:
        if not all(map(isinstance, values, types)):
            raise DamagedError(f"{what} has a value of a wrong type")
        yield values


def row(values: Any, types: Types, what: str) -> Any:
    """The one row of a result, as `rows`. Raises DamagedError, also for None (no row)."""
    if values is None:
        raise DamagedError(f"{what} is missing")
    return next(rows([values], types, what))


# The columns of a chunk with its file, for stored_chunk; OF_STORED_CHUNK joins their tables.
STORED_CHUNK = (
    "chunk.id, chunk.passage_id, file.path, file.collection, file.title, "
    "file.size, file.mtime_ns, file.ctime_ns, file.hash, "
    "coalesce(nullif(record.fields, ''), file.fields), file.member, "
    "coalesce(record.date_ns, file.mtime_ns), passage.hash, "
    "(SELECT count(*) FROM chunk AS before WHERE before.file_id = chunk.file_id "
    "AND before.passage_id = chunk.passage_id AND before.id < chunk.id), chunk.text, "
    "chunk.heading, chunk.start_byte, chunk.end_byte, chunk.start_line, chunk.end_line, chunk.page"
)
OF_STORED_CHUNK = (
    "JOIN file ON file.id = chunk.file_id JOIN passage ON passage.id = chunk.passage_id "
    "LEFT JOIN record ON record.first = "
    "(SELECT max(r.first) FROM record AS r WHERE r.first <= chunk.id)"
)
_FILE = (int, int, str, str, str, int, int, int, bytes, str, str, int, bytes, int)
CHUNK = (str, str, int, int, int, int, int | None)

WHOLE_CHUNK = (*CHUNK, bytes, bytes, str, int)  # packed terms, hash, own fields, record id


def stored_chunk(values: Any) -> StoredChunk:
    """A chunk with its file, from a row of STORED_CHUNK. Raises DamagedError."""
    what = f"chunk {values[0]}"
    row(values, (*_FILE, *CHUNK), what)
    chunk_id, text_id, path, collection, title, size, mtime_ns, ctime_ns, *others = values
    content_hash, fields, member, date_ns, unique_hash, copy, *place = others
    name(path)
    name(member)
    json_object(fields)
    if len(title) > LONGEST_TEXT:
        raise DamagedError(f"{what} has a title of {len(title)} characters")
    return StoredChunk(
        id=chunk_id,
        text_id=text_id,
        path=path,
        collection=collection,
        title=title,
        signature=Signature(size, mtime_ns, ctime_ns),
        hash=content_hash,
        fields=fields,
        chunk=chunk(place, what),
        member=member,
        date_ns=date_ns,
        unique_hash=unique_hash,
        copy=copy,
    )


def chunk(values: Sequence[Any], what: str) -> Chunk:
    """A chunk from values whose types were checked. what: as in `rows`. Raises DamagedError."""
    result = Chunk(*values)
    if len(result.text) > LONGEST_TEXT or len(result.heading) > LONGEST_TEXT:
        raise DamagedError(f"{what} is too long")
    lines_valid = 0 < result.start_line <= result.end_line
    if not (lines_valid and 0 <= result.start_byte <= result.end_byte):
        raise DamagedError(f"{what} has a position outside its file")
    return result


def last_chunk(values: Any) -> int:
    """The highest chunk id ever used, from the row of sqlite_sequence; 0 without one. Raises
    DamagedError."""
    number: int = row(values, (int,), "the number of chunks")[0] if values else 0
    if not 0 <= number < MOST_CHUNKS:
        raise DamagedError(f"a chunk has the number {number}")
    return number


def whole_chunk(values: Any) -> NewChunk:
    """A chunk with its terms, from a row of WHOLE_CHUNK. Raises DamagedError."""
    *chunk_values, packed_terms, unique_hash, fields, part = values
    json_object(fields)
    plain = chunk(chunk_values, "a chunk")
    body_terms, title_terms = terms(packed_terms, plain.text, "a chunk")
    return NewChunk(plain, body_terms, title_terms, unique_hash, packed_terms, fields, part)


def name(path: str) -> str:
    """A path that can be passed to the operating system. Raises DamagedError."""
    if "\0" in path or len(path) > LONGEST_TEXT:
        raise DamagedError("a path that is not valid")
    return path


def json_object(text: str) -> dict[str, Any]:
    """The fields of a document, a JSON object; {} for an empty text. Raises DamagedError."""
    if not text:
        return {}
    try:
        if len(text) > LONGEST_TEXT:
            raise ValueError("too long")
        value = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(value, allow_nan=False)  # json reads 1e999 as infinity
        if not isinstance(value, dict) or _depth(value) > DEEPEST:
            raise ValueError("not an object")
    except (ValueError, RecursionError) as error:
        raise DamagedError("a document has fields that are not JSON") from error
    return value


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not valid JSON")


def _depth(value: object) -> int:
    level, depth = [value], 0
    while level:
        depth += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth


def terms(packed: bytes, text: str, what: str) -> tuple[str, str]:
    """(body, title): the terms of a chunk, see `qrank.terms.unpack`. Raises DamagedError."""
    try:
        return unpack(packed, text)
    except (zlib.error, ValueError) as error:
        raise DamagedError(f"the stored terms of {what} can't be read") from error


def dims(count: int) -> int:
    """The dims of a model's vectors. Raises DamagedError when they are out of range."""
    if not 0 < count <= MOST_DIMS:
        raise DamagedError(f"a model has vectors of {count} dims")
    return count
