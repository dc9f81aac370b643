"""BM25 candidates: FTS5 over analysed terms.

FTS5's bm25() is Okapi BM25 with k1 = 1.2 and b = 0.75 (SQLite's FTS5 documentation), its idf
kept above zero. The collection is a column of terms too, of weight 0, so that a filter by
collection costs one posting list instead of a join.

FTS5 keeps no copy of the terms, and wants to be told them again when a chunk goes: the chunk has
them, deflated with its text as the dictionary, which makes them a sixth of the text.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Sequence

from qrank.store.filters import Filter, quoted

_SCORE = "bm25(terms, 1.0, 1.0, 0.0)"  # body, title, collection


def pack(body: str, title: str, text: str) -> bytes:
    """The terms of a chunk, each part joined by blanks, for unpack with the same text.

    >>> unpack(pack("tea for two", "menu", "Tea for two!"), "Tea for two!")
    ('tea for two', 'menu')
    """
    packer = zlib.compressobj(wbits=-15, zdict=text.lower().encode())
    return packer.compress(f"{title}\n{body}".encode()) + packer.flush()


def unpack(packed: bytes, text: str) -> tuple[str, str]:
    """(body, title): the terms that pack was given, with the text it was given."""
    unpacker = zlib.decompressobj(wbits=-15, zdict=text.lower().encode())
    title, _, body = (unpacker.decompress(packed) + unpacker.flush()).decode().partition("\n")
    return body, title


def collection_term(name: str) -> str:
    """A collection's name as one term, whatever characters it holds."""
    return "x" + name.encode("utf-8").hex()


def remove(connection: sqlite3.Connection, file_ids: Iterable[int]) -> None:
    """Take the terms of files' chunks out."""
    for file_id in file_ids:
        rows = connection.execute(
            "SELECT chunk.id, text, packed_terms, collection FROM chunk "
            "JOIN file ON file.id = file_id WHERE file_id = ?",
            (file_id,),
        ).fetchall()
        connection.executemany(
            "INSERT INTO terms (terms, rowid, body, title, collection) "
            "VALUES ('delete', ?, ?, ?, ?)",
            [(i, *unpack(packed, text), collection_term(name)) for i, text, packed, name in rows],
        )


def match_expression(terms: Sequence[str], prefixes: Sequence[str], where: Filter) -> str:
    """The FTS5 query for any of terms, or a term that starts with one of prefixes, and what a
    filter asks of terms and collection.

    >>> match_expression(["tea", 'a"b'], [], Filter())
    '({body title} : ("tea" OR "a""b"))'
    """
    parts = [f"({phrase.fts()})" for phrase in where.required]
    wanted = [quoted(term) for term in terms] + [f"{quoted(term)} *" for term in prefixes]
    if wanted:
        parts.append("({body title} : (" + " OR ".join(wanted) + "))")
    if where.collections:
        names = " OR ".join(quoted(collection_term(name)) for name in where.collections)
        parts.insert(0, f"(collection : ({names}))")
    match = " AND ".join(parts)
    if where.excluded:
        match = f"({match}) NOT (" + " OR ".join(f"({p.fts()})" for p in where.excluded) + ")"
    return match


def candidates(
    connection: sqlite3.Connection,
    terms: Sequence[str],
    prefixes: Sequence[str],
    limit: int,
    where: Filter,
) -> list[tuple[int, float]]:
    """The limit best (chunk id, score), higher scores first."""
    match = match_expression(terms, prefixes, where)
    condition, values = where.of_file(collections=False)
    join = span = ""
    arguments: list[object] = [match]
    if condition:
        # The match drives (CROSS JOIN), the file is looked up for each hit between these.
        first, last = connection.execute(
            "SELECT min(first), max(last) FROM (SELECT min(chunk.id) AS first, max(chunk.id) AS "
            f"last FROM file CROSS JOIN chunk ON file_id = file.id WHERE {condition} "
            "GROUP BY file.id)",
            values,
        ).fetchone()
        if first is None:
            return []
        join = "CROSS JOIN chunk ON chunk.id = terms.rowid CROSS JOIN file ON file.id = file_id "
        span = f"AND terms.rowid BETWEEN ? AND ? AND {condition} "
        arguments += [first, last, *values]
    sql = (
        f"SELECT terms.rowid, {_SCORE} AS score FROM terms {join}"
        f"WHERE terms MATCH ? {span}ORDER BY score, terms.rowid LIMIT ?"
    )
    rows = connection.execute(sql, [*arguments, limit])
    return [(chunk, -score) for chunk, score in rows]
