"""BM25 candidates: FTS5 over analysed terms.

FTS5's bm25() is Okapi BM25 with k1 = 1.2 and b = 0.75 (SQLite's FTS5 documentation), its idf
kept above zero. The collection and the language are terms too, in a column of weight 0, so that
a filter by collection costs one posting list instead of a join.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from qrank.store.filters import Filter

_WEIGHTS = "bm25(1.0, 1.0, 0.0)"  # body, title, collection


def collection_term(name: str) -> str:
    """A collection's name as one term, whatever characters it holds."""
    return "x" + name.encode("utf-8").hex()


def language_term(name: str) -> str:
    """A language as one term, beside the collection's."""
    return "l" + name


def language_expression(name: str) -> str:
    """The FTS5 query for what is in a language."""
    return f"collection : {_quoted(language_term(name))}"


def match_expression(
    terms: Sequence[str],
    prefixes: Sequence[str],
    variants: Mapping[str, Sequence[str]],
    collections: Sequence[str],
) -> str:
    """The FTS5 query for any of terms, for a term that starts with one of prefixes, or for any of
    a language's variants in documents of that language. FTS5 counts a repeated phrase repeatedly.

    >>> match_expression(["tea", 'a"b', 'a"b'], [], {}, [])
    '({body title} : ("tea" OR "a""b" OR "a""b"))'
    >>> match_expression(["polici"], [], {"french": ["polic"]}, [])
    '({body title} : ("polici")) OR (collection : "lfrench" AND {body title} : ("polic"))'
    """
    any_of = [f"({_words(terms, prefixes)})"] if terms or prefixes else []
    any_of += [
        f"({language_expression(name)} AND {_words(own, [])})" for name, own in variants.items()
    ]
    text = " OR ".join(any_of)
    if not collections:
        return text
    names = " OR ".join(_quoted(collection_term(name)) for name in collections)
    return f"collection : ({names}) AND ({text})"


def _words(terms: Sequence[str], prefixes: Sequence[str]) -> str:
    wanted = [_quoted(term) for term in terms] + [f"{_quoted(prefix)} *" for prefix in prefixes]
    return "{body title} : (" + " OR ".join(wanted) + ")"


def _quoted(term: str) -> str:
    return '"' + term.replace('"', '""') + '"'


def candidates(
    connection: sqlite3.Connection, match: str, limit: int, where: Filter
) -> list[tuple[int, float]]:
    """The limit best (chunk id, score) of an FTS5 query, higher scores first."""
    if not where.paths:
        sql = (
            "SELECT rowid, -rank FROM terms WHERE terms MATCH ? AND rank MATCH ? "
            "ORDER BY rank, rowid LIMIT ?"
        )
        arguments: list[object] = [match, _WEIGHTS, limit]
    else:  # CROSS JOIN: the match drives, the path is looked up for each hit
        condition, values = where.sql()
        sql = (
            "SELECT terms.rowid, -terms.rank FROM terms "
            "CROSS JOIN chunk ON chunk.id = terms.rowid CROSS JOIN file ON file.id = chunk.file_id "
            f"WHERE terms MATCH ? AND rank MATCH ? AND {condition} "
            "ORDER BY terms.rank, terms.rowid LIMIT ?"
        )
        arguments = [match, _WEIGHTS, *values, limit]
    return list(connection.execute(sql, arguments))


def scores(connection: sqlite3.Connection, match: str, chunks: Sequence[int]) -> dict[int, float]:
    """The BM25 score of an FTS5 query for some chunks; those it does not match are left out."""
    # The + keeps SQLite from running the query anew, with its idf, for every single row.
    sql = (
        "SELECT rowid, -rank FROM terms WHERE terms MATCH ? AND rank MATCH ? "
        f"AND +rowid IN ({', '.join('?' * len(chunks))})"
    )
    return dict(connection.execute(sql, (match, _WEIGHTS, *chunks)))
