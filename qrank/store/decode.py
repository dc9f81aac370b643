"""What rows of an index file hold, checked before it is used.

SQLite puts any type into any column, and a file may come from anywhere: nothing that is read is
taken for what our own writing would have put there.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from qrank.results import Chunk, NewChunk, Signature, StoredChunk
from qrank.terms import unpack

Kinds = Sequence[Any]  # of a row's values, each a type or a union of types
LONGEST_TEXT = 1 << 20  # characters of a title, a heading, a passage, the fields of a document
LONGEST_VALUE = 64 << 20  # bytes of one value, or of a row: SQLite refuses to read a longer one
MOST_DIMS = 1 << 16
DEEPEST = 64  # lists and objects in one another, in the fields of a document
MOST_PASSAGES = 1 << 31
MOST_CHUNKS = 1 << 53


class DamagedError(sqlite3.DatabaseError):
    """A value that an index of ours does not hold; `translate_sqlite_errors` names the file."""


def rows(found: Iterable[Any], kinds: Kinds, what: str = "a row") -> Iterator[Any]:
    """The rows that were found, each with values of such types. what: what a row is.

    Raises DamagedError.
    """
    for row in found:
        if not all(map(isinstance, row, kinds)):
            raise DamagedError(f"{what} has a value of a wrong type")
        yield row


def row(found: Any, kinds: Kinds, what: str) -> Any:
    """The one row that was found, as `rows`; one that is missing is damage, too."""
    if found is None:
        raise DamagedError(f"{what} is missing")
    return next(rows([found], kinds, what))


# A chunk with its file, as stored_chunk wants it; the tables are to be joined.
STORED_CHUNK = (
    "chunk.id, chunk.passage_id, file.path, file.collection, file.title, "
    "file.size, file.mtime_ns, file.ctime_ns, file.hash, file.fields, chunk.text, chunk.heading, "
    "chunk.start_byte, chunk.end_byte, chunk.start_line, chunk.end_line, chunk.page"
)
_FILE = (int, int, str, str, str, int, int, int, bytes, str)
CHUNK = (str, str, int, int, int, int, int | None)

WHOLE_CHUNK = (*CHUNK, bytes, bytes)  # its packed terms, its passage's hash


def stored_chunk(found: Any) -> StoredChunk:
    """A chunk with its file, from a row of STORED_CHUNK."""
    what = f"chunk {found[0]}"
    row(found, (*_FILE, *CHUNK), what)
    path, title, fields = found[2], found[4], found[9]
    name(path)
    json_object(fields)
    if len(title) > LONGEST_TEXT:
        raise DamagedError(f"{what} has a title of {len(title)} characters")
    signature = Signature(*found[5:8])
    return StoredChunk(*(*found[:5], signature, *found[8:10], chunk(found[10:], what)))


def chunk(values: Sequence[Any], what: str) -> Chunk:
    """A chunk from a row of its values, whose types were checked."""
    made = Chunk(*values)
    if len(made.text) > LONGEST_TEXT or len(made.heading) > LONGEST_TEXT:
        raise DamagedError(f"{what} is too long")
    if not (0 <= made.start_byte <= made.end_byte and 0 < made.start_line <= made.end_line):
        raise DamagedError(f"{what} lies nowhere in its file")
    return made


def last_chunk(found: Any) -> int:
    """The highest number that a chunk ever had, from the row of sqlite_sequence; 0 without one."""
    number: int = row(found, (int,), "the number of chunks")[0] if found else 0
    if not 0 <= number < MOST_CHUNKS:
        raise DamagedError(f"a chunk has the number {number}")
    return number


def whole_chunk(found: Any) -> NewChunk:
    """A chunk with its terms, from a row of WHOLE_CHUNK."""
    made = chunk(found[:7], "a chunk")
    body, title = terms(found[7], made.text, "a chunk")
    return NewChunk(made, body, title, found[8], found[7])


def name(path: str) -> str:
    """A path, which the system can be asked for."""
    if "\0" in path or len(path) > LONGEST_TEXT:
        raise DamagedError("a path that can't be one")
    return path


def json_object(text: str) -> dict[str, Any]:
    """The fields of a document: a JSON object, {} for an empty text."""
    if not text:
        return {}
    try:
        if len(text) > LONGEST_TEXT:
            raise ValueError("too long")
        found = json.loads(text, parse_constant=_refused)
        json.dumps(found, allow_nan=False)  # 1e999 is read as infinity
        if not isinstance(found, dict) or _depth(found) > DEEPEST:
            raise ValueError("no object")
    except (ValueError, RecursionError) as error:
        raise DamagedError("a document has fields that are not JSON") from error
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


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
    """(body, title): the terms of a chunk, as `qrank.terms.unpack`."""
    try:
        return unpack(packed, text)
    except (zlib.error, ValueError) as error:
        raise DamagedError(f"the kept words of {what} can't be read") from error


def dims(found: int) -> int:
    """The dims of a model's vectors."""
    if not 0 < found <= MOST_DIMS:
        raise DamagedError(f"a model has vectors of {found} dims")
    return found
