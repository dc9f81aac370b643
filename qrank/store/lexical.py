"""BM25 candidates: FTS5 over analysed terms.

FTS5's bm25() is Okapi BM25 with k1 = 1.2 and b = 0.75, and an idf above zero (SQLite's FTS5
documentation). The collection and the language are terms, too, in a column of weight 0, so that a
filter by collection costs one posting list instead of a join.

The table is contentless: FTS5 keeps no copy of the terms, and needs them again to delete a row.
They are stored packed with the chunk (analysis/terms.py).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, pairwise

from qrank.analysis.language import LANGUAGES
from qrank.store import decode
from qrank.store.conditions import WITH_RECORD, expression, of_record, passing, plan, quoted
from qrank.store.filters import EVERYTHING, Filter
from qrank.store.parallel import gather, threads_for

CHECKED_AT_ONCE = 256  # hits
FEW = 2048  # hits that are checked faster than the chunks that pass a filter are listed
CHUNKS_A_THREAD = 100_000  # fewer are not worth another thread with its connection
_SCORE = "bm25(terms, 1.0, 2.0, 0.0)"  # weights of body, title, collection


def collection_term(name: str) -> str:
    """A collection's name as one term, whatever characters it contains."""
    return "x" + name.encode("utf-8").hex()


def labels(collection: str, language: str) -> str:
    """The value of the column collection for a chunk: its collection's and its language's term."""
    return f"{collection_term(collection)} {language_term(language)}".rstrip()


def language_term(name: str) -> str:
    """A language as one term; empty for a document whose language was not stored (version 1)."""
    return name and f"l{name}"


def language_expression(name: str) -> str:
    """The FTS5 query for chunks in a language."""
    return f"collection : {quoted(language_term(name))}"


def languages(connection: sqlite3.Connection) -> list[str]:
    """The languages of LANGUAGES that some chunk is in."""
    exists = "SELECT 1 FROM terms WHERE terms MATCH ? LIMIT 1"
    return [
        name
        for name in LANGUAGES
        if connection.execute(exists, (language_expression(name),)).fetchone()
    ]


def remove(connection: sqlite3.Connection, file_ids: Iterable[int]) -> None:
    """Delete the terms of files' chunks, which must still be there. Writes."""
    for file_id in file_ids:
        rows = connection.execute(
            "SELECT chunk.id, text, packed_terms, collection, language FROM chunk "
            "JOIN file ON file.id = file_id WHERE file_id = ?",
            (file_id,),
        )
        checked = decode.rows(rows, (int, str, bytes, str, str), f"a chunk of file {file_id}")
        connection.executemany(
            "INSERT INTO terms (terms, rowid, body, title, collection) "
            "VALUES ('delete', ?, ?, ?, ?)",
            [
                (i, *decode.terms(packed, text, f"chunk {i}"), labels(*of))
                for i, text, packed, *of in checked
            ],
        )


def count_holding(
    connection: sqlite3.Connection, groups: Sequence[Sequence[str]], most: int
) -> list[int]:
    """For each group of terms, the number of chunks that have any of them, counted up to most."""
    sql = (
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM terms WHERE terms MATCH query.value LIMIT ?)) "
        "FROM json_each(?) AS query ORDER BY query.key"
    )
    queries = [match_expression(terms, (), {}, EVERYTHING) for terms in groups if terms]
    rows = decode.rows(connection.execute(sql, (most, json.dumps(queries))), (int,), "a count")
    counts = iter([count for (count,) in rows])
    return [next(counts) if terms else 0 for terms in groups]


def match_expression(
    terms: Sequence[str],
    prefixes: Sequence[str],
    variants: Mapping[str, Sequence[str]],
    filter: Filter,
) -> str:
    """The FTS5 query for any of terms, for terms that start with one of prefixes, or for any of a
    language's variants in documents of that language (a trailing * makes one a prefix), restricted
    to the filter's phrases and collections. FTS5 counts a repeated term repeatedly.

    >>> match_expression(["tea", 'a"b', 'a"b'], [], {}, Filter())
    '(({body title} : ("tea" OR "a""b" OR "a""b")))'
    >>> match_expression(["polici"], [], {"french": ["polic"]}, Filter())
    '(({body title} : ("polici")) OR (collection : "lfrench" AND {body title} : ("polic")))'
    >>> match_expression([], [], {"german": ["datei*"]}, Filter())
    '((collection : "lgerman" AND {body title} : ("datei" *)))'
    """
    parts = [f"({expression(phrase)})" for phrase in filter.required]
    phrases = [quoted(term) for term in terms] + [f"{quoted(term)} *" for term in prefixes]
    any_of = [_any(phrases)] if phrases else []
    for name, own in variants.items():
        any_of.append(f"{language_expression(name)} AND {_any(map(_variant, own))}")
    if any_of:
        parts.append("(" + " OR ".join(f"({part})" for part in any_of) + ")")
    if filter.collections:
        names = " OR ".join(quoted(collection_term(name)) for name in filter.collections)
        parts.insert(0, f"(collection : ({names}))")
    match = " AND ".join(parts)
    if filter.excluded:
        match = (
            f"({match}) NOT (" + " OR ".join(f"({expression(p)})" for p in filter.excluded) + ")"
        )
    return match


def _variant(term: str) -> str:
    return f"{quoted(term[:-1])} *" if term.endswith("*") else quoted(term)


def _any(words: Iterable[str]) -> str:
    return "{body title} : (" + " OR ".join(words) + ")"


def candidates(
    connection: sqlite3.Connection,
    connect: Callable[[], sqlite3.Connection],
    terms: Sequence[str],
    prefixes: Sequence[str],
    variants: Mapping[str, Sequence[str]],
    limit: int,
    filter: Filter,
) -> list[tuple[int, float]]:
    """The limit best (chunk id, score), higher scores first. connect: see parallel.gather."""
    match = match_expression(terms, prefixes, variants, filter)
    condition, values = of_record(filter, collections=False)
    if not condition:
        return _best(connection, connect, match, limit)
    sql = "SELECT rowid FROM terms WHERE terms MATCH ? LIMIT ?"
    rows = decode.rows(connection.execute(sql, (match, FEW + 1)), (int,), "a hit")
    hits = [chunk_id for (chunk_id,) in rows]
    chunk_ids, most = (
        (sorted(passing(filter, connection, hits)), 0)
        if len(hits) <= FEW
        else plan(filter, connection, limit)
    )
    if chunk_ids is not None:
        within = "AND +terms.rowid IN (SELECT value FROM json_each(?)) "
        between = (chunk_ids[0], chunk_ids[-1]) if chunk_ids else (1, 0)
        ids = [json.dumps(chunk_ids)]
        return _best(connection, connect, match, limit, "", within, ids, between)
    # Many chunks pass: usually enough of the best hits do.
    best = _best(connection, connect, match, most)
    result: list[tuple[int, float]] = []
    for at in range(0, len(best), CHECKED_AT_ONCE):
        part = best[at : at + CHECKED_AT_ONCE]
        passed = passing(filter, connection, [chunk for chunk, _ in part])
        result += [hit for hit in part if hit[0] in passed]
        if len(result) >= limit:
            return result[:limit]
    if len(best) < most:
        return result
    # CROSS JOIN keeps the match as the outer loop; record and file are looked up for each hit.
    join = f"CROSS {WITH_RECORD.format('terms.rowid')} CROSS JOIN file ON file.id = record.file_id "
    return _best(connection, connect, match, limit, join, f"AND {condition} ", values)


def _best(
    connection: sqlite3.Connection,
    connect: Callable[[], sqlite3.Connection],
    match: str,
    limit: int,
    join: str = "",
    condition: str = "",
    values: Sequence[object] = (),
    between: tuple[int, int] | None = None,
) -> list[tuple[int, float]]:
    """The limit best (chunk id, score) that match, and meet an SQL condition with its arguments;
    between: the first and last chunk id that can."""
    first, last = between or (
        0,
        connection.execute("SELECT max(id) FROM chunk").fetchone()[0] or -1,
    )
    if last < first:
        return []
    sql = (
        f"SELECT terms.rowid, {_SCORE} AS score FROM terms {join}WHERE terms MATCH ? "
        f"AND terms.rowid BETWEEN ? AND ? {condition}ORDER BY score, terms.rowid LIMIT ?"
    )

    def best_between(own: sqlite3.Connection, start: int, end: int) -> list[tuple[int, float]]:
        rows = own.execute(sql, [match, start, end, *values, limit])
        return list(decode.rows(rows, (int, float), "a score"))

    threads = threads_for(connection, 1 + (last - first) // CHUNKS_A_THREAD)
    edges = [first + (last + 1 - first) * i // threads for i in range(threads + 1)]
    parts = [partial(best_between, start=start, end=end - 1) for start, end in pairwise(edges)]
    best = sorted(chain(*gather(connection, connect, parts)), key=lambda hit: (hit[1], hit[0]))
    return [(chunk, -score) for chunk, score in best[:limit]]


def scores(
    connection: sqlite3.Connection,
    terms: Sequence[str],
    prefixes: Sequence[str],
    variants: Mapping[str, Sequence[str]],
    chunks: Sequence[int],
    filter: Filter,
) -> dict[int, float]:
    """BM25 scores, by chunk id, of terms and of the phrases a filter requires; chunks with none of
    them are left out."""
    # The + prevents a lookup by rowid, which would run the FTS5 query again for each row.
    sql = (
        f"SELECT terms.rowid, -{_SCORE} FROM terms WHERE terms MATCH ? "
        f"AND +rowid IN ({', '.join('?' * len(chunks))})"
    )
    match = match_expression(terms, prefixes, variants, filter)
    rows = connection.execute(sql, (match, *chunks))
    return dict(decode.rows(rows, (int, float), "a score"))
