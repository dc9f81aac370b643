"""Adding, removing and reading documents with their chunks, terms and records."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import PurePath

from qrank.results import NewChunk, Signature
from qrank.store import conditions, decode, lexical, locations, records
from qrank.store.filters import Filter
from qrank.store.interface import NewDocument
from qrank.store.lookup import words
from qrank.store.parallel import snapshot

GROUP = 1000  # chunks written at once: a document may be of any length


def add(connection: sqlite3.Connection, document: NewDocument, cached_words: set[bytes]) -> None:
    """Add a document, replacing the one with the same path and member. cached_words: see words.add.
    Writes. Raises DamagedError."""
    run = connection.execute
    collection, path, member = document.collection, document.path, document.member
    find = "SELECT id FROM file WHERE collection = ? AND path = ? AND member = ?"
    if old := run(find, (collection, path, member)).fetchone():
        remove(connection, [old[0]])
    if member and not run(find, (collection, path, "")).fetchone():  # an import of the member only
        _add_file(connection, document._replace(member="", title="", language="", fields=""))
    file_id = _add_file(connection, document)
    # Ids continue after the highest ever used (AUTOINCREMENT). They are assigned here, so that all
    # tables can be written with executemany.
    row = run("SELECT seq FROM sqlite_sequence WHERE name = 'chunk'").fetchone()
    ids = count(decode.last_chunk(row) + 1)
    labels = lexical.labels(collection, document.language)
    chunks = iter(document.chunks)
    writer = records.Writer(connection, file_id, document.fields, document.signature.mtime_ns)
    words.add(connection, [document.title, PurePath(member or path).name], cached_words)
    while group := list(islice(chunks, GROUP)):
        words.add(connection, [new.chunk.text for new in group], cached_words)
        _add_chunks(connection, file_id, labels, ids, group, writer)
    writer.write()


def _add_file(connection: sqlite3.Connection, document: NewDocument) -> int:
    """Add a document's row and name keys, without chunks; returns its id."""
    file_id = connection.execute(
        "INSERT INTO file (collection, path, member, size, mtime_ns, ctime_ns, hash, title, "
        "extractor, language, fields, indexed_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            document.collection,
            document.path,
            document.member,
            *document.signature,
            document.content_hash,
            document.title,
            document.extractor,
            document.language,
            document.fields,
            time.time_ns(),
        ),
    ).lastrowid
    locations.add_names(connection, file_id, document.member or document.path, document.title)
    return file_id or 0


def _add_chunks(
    connection: sqlite3.Connection,
    file_id: int,
    labels: str,
    ids: Iterator[int],
    group: list[NewChunk],
    writer: records.Writer,
) -> None:
    chunk_rows: list[tuple[object, ...]] = []
    term_rows: list[tuple[object, ...]] = []
    for new, chunk_id in zip(group, ids, strict=False):
        c = new.chunk
        span = (c.start_byte, c.end_byte, c.start_line, c.end_line, c.page, c.heading)
        chunk_rows.append((chunk_id, file_id, new.unique_hash, *span, c.text, new.packed_terms))
        term_rows.append((chunk_id, new.body_terms, new.title_terms, labels))
        writer.add(chunk_id, new)
    run = connection.executemany
    hashes = ((new.unique_hash,) for new in group)
    run("INSERT OR IGNORE INTO passage (hash) VALUES (?)", hashes)
    run(
        "INSERT INTO chunk (id, file_id, passage_id, start_byte, end_byte, start_line, "
        "end_line, page, heading, text, packed_terms) VALUES "
        "(?, ?, (SELECT id FROM passage WHERE hash = ?), ?, ?, ?, ?, ?, ?, ?, ?)",
        chunk_rows,
    )
    run("INSERT INTO terms (rowid, body, title, collection) VALUES (?, ?, ?, ?)", term_rows)


def touch(connection: sqlite3.Connection, file_id: int, signature: Signature) -> None:
    """Store a new signature for a file, and its members, with unchanged content. Writes."""
    same = (
        "SELECT id FROM file WHERE (collection, path) = "
        "(SELECT collection, path FROM file WHERE id = ?)"
    )
    connection.execute(
        f"UPDATE file SET size = ?, mtime_ns = ?, ctime_ns = ? WHERE id IN ({same})",
        (*signature, file_id),
    )
    records.touch(connection, same, file_id, signature.mtime_ns)


def remove(connection: sqlite3.Connection, file_ids: list[int]) -> None:
    """Remove documents, their members and chunks; remove_orphans removes their vectors. Writes."""
    whole = locations.whole_files(connection, file_ids)
    ids = [(i,) for i in whole]
    lexical.remove(connection, whole)
    connection.executemany(
        "INSERT OR IGNORE INTO loose SELECT passage_id FROM chunk WHERE file_id = ?", ids
    )
    records.remove(connection, whole)
    connection.executemany("DELETE FROM file WHERE id = ?", ids)


def remove_orphans(connection: sqlite3.Connection, most: int) -> bool:
    """Remove unique texts without a chunk, and their vectors. Examines at most most of the texts
    that lost a chunk (-1: all); returns whether it examined any, so that there may be more. Writes.
    """
    cursor = connection.execute(
        "SELECT passage_id, NOT EXISTS "
        "(SELECT 1 FROM chunk WHERE chunk.passage_id = loose.passage_id) "
        "FROM loose ORDER BY passage_id LIMIT ?",
        (most,),
    )
    rows = list(decode.rows(cursor, (int, int)))
    if not rows:
        return False
    orphans = [text_id for text_id, is_orphan in rows if is_orphan]
    if orphans:
        from qrank.store import segments

        segments.remove(connection, orphans)
        connection.executemany("DELETE FROM passage WHERE id = ?", [(i,) for i in orphans])
    connection.execute("DELETE FROM loose WHERE passage_id <= ?", (rows[-1][0],))
    return True


def stored(connection: sqlite3.Connection, filter: Filter) -> Iterator[NewDocument]:
    """All documents whose files pass the filter, by collection and path, as they were added."""
    condition, values = conditions.of_file(filter)
    sql = (
        "SELECT id, collection, path, member, hash, title, extractor, language, fields, "
        "size, mtime_ns, ctime_ns FROM file "
        + (f"WHERE {condition} " if condition else "")
        + "ORDER BY collection, path, member"
    )
    types = (int, str, str, str, bytes, str, str, str, str, int, int, int)
    with snapshot(connection):
        for row in list(decode.rows(connection.execute(sql, values), types, "a file")):
            i, collection, path, member, content_hash, title, extractor, *rest = row
            language, fields, *signature = rest
            decode.json_object(fields)
            yield NewDocument(
                collection=collection,
                path=path,
                member=member,
                signature=Signature(*signature),
                content_hash=content_hash,
                title=title,
                extractor=extractor,
                language=language,
                chunks=_whole_chunks(connection, i),
                fields=fields,
            )


def _whole_chunks(connection: sqlite3.Connection, file_id: int) -> Iterator[NewChunk]:
    rows = connection.execute(
        "SELECT text, heading, start_byte, end_byte, start_line, end_line, page, "
        "packed_terms, hash, coalesce(fields, ''), coalesce(first, 0) FROM chunk "
        "JOIN passage ON passage.id = passage_id "
        f"LEFT {conditions.OF_CHUNK} WHERE chunk.file_id = ? ORDER BY chunk.id",
        (file_id,),
    )
    yield from map(
        decode.whole_chunk, decode.rows(rows, decode.WHOLE_CHUNK, f"a chunk of file {file_id}")
    )
