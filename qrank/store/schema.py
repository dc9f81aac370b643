"""Tables of the index file, their version, and the steps from one version to the next.

file     one row per document: its path, and its signature when it was read; member: its path within
         that file, if that is an archive or mailbox, which has a row of its own without a member
name     keys for finding documents by file name and title (analysis/names.py)
left_out skipped files: those without text or with errors; their signatures, and why
chunk    the chunks of documents, with their positions in the file
terms    FTS5 over the analysed terms of each chunk (rowid = chunk.id). Contentless: packed_terms of
         chunk has the terms, which are needed to delete a row
passage  unique texts: the text that a model embeds for a chunk, identified by its hash. Equal ones
         share a row, so that a moved, copied or partly changed file keeps its vectors
loose    texts that lost a chunk; those without any other are deleted at the end of a run
model    the embedding models of the stored vectors, identified by the hash of their files
vector   the segment and slot of a text's vector by a model; cut: whether the text was truncated
         because it was longer than the model's window
record   ranges of chunks (first to last) with the same fields: a file, or a row or message in it,
         whose own fields are stored here; date_ns: one of the fields (dated), else the mtime
field_name, field_value, record_value   the names of fields, their values, and links to records
word     the vocabulary: words that documents have had (lookup/words.py)
collection  descriptions and settings of collections: lines of ignore rules, the instruction for
         queries; collections without settings have no row
home     the folder that the index was in when it was last written (lookup/home.py)
root     the files and folders that were given to be indexed, and the options of those runs
segment  the text id (0: free) and scale of each slot of a block of vectors of a model
code     the int8 codes of a segment's slots, read and written in place
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from qrank.analysis.names import name_keys

APPLICATION_ID = 0x71726E6B  # "qrnk"

# Terms are separated by spaces; tokenchars are the other ASCII characters that terms contain.
_FIRST_TERMS = """CREATE VIRTUAL TABLE terms USING fts5(
    body, title, collection, tokenize = "ascii tokenchars '_+#'''"
)"""
_TERMS = _FIRST_TERMS.replace(")", ", content = '')")


def version(connection: sqlite3.Connection) -> int:
    """The version of an index file, 0 when it is empty."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def foreign_object(connection: sqlite3.Connection) -> str:
    """The first object in the schema that could run code, and that no qrank index has: a trigger,
    a view, a virtual table; "" when there is none."""
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master"):
        plain = kind == "index" or (kind == "table" and str(sql)[:13].upper() == "CREATE TABLE ")
        if not plain and (name, sql) not in (("terms", _TERMS), ("terms", _FIRST_TERMS)):
            return f"the {kind} {name}"
    return ""


def upgrade(connection: sqlite3.Connection) -> None:
    """Upgrade the tables from any version to VERSION, each step in a transaction.

    Several processes may do so at once: each step is done by one of them.
    """
    run = connection.execute
    run("PRAGMA foreign_keys = OFF")  # steps may replace tables
    while (current := version(connection)) < VERSION:
        run("BEGIN IMMEDIATE")
        try:
            if version(connection) == current:
                STEPS[current](connection)
                run(f"PRAGMA application_id = {APPLICATION_ID}")
                run(f"PRAGMA user_version = {current + 1}")
            run("COMMIT")
        except BaseException:
            if connection.in_transaction:
                run("ROLLBACK")
            raise


def _tables(connection: sqlite3.Connection) -> None:
    """0 -> 1: the first tables."""
    import sqlite_utils

    db = sqlite_utils.Database(connection)
    make: Any = db.create_table
    make(
        "file",
        {
            "id": int,
            "collection": str,
            "path": str,
            "size": int,
            "mtime_ns": int,
            "hash": bytes,
            "title": str,
            "extractor": str,
        },
        pk="id",
        not_null={"collection", "path", "size", "mtime_ns", "hash", "title", "extractor"},
    )
    db["file"].create_index(["collection", "path"], unique=True)  # type: ignore[union-attr]
    make("passage", {"id": int, "hash": bytes}, pk="id", not_null={"hash"})
    db["passage"].create_index(["hash"], unique=True)  # type: ignore[union-attr]
    # AUTOINCREMENT: an id that was shown to a user must never be used for another chunk.
    connection.execute(
        """CREATE TABLE chunk (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            file_id INTEGER NOT NULL REFERENCES file(id) ON DELETE CASCADE,
            passage_id INTEGER NOT NULL REFERENCES passage(id),
            start_byte INTEGER NOT NULL, end_byte INTEGER NOT NULL,
            start_line INTEGER NOT NULL, end_line INTEGER NOT NULL,
            page INTEGER, heading TEXT NOT NULL, text TEXT NOT NULL
        )"""
    )
    db["chunk"].create_index(["file_id"])  # type: ignore[union-attr]
    db["chunk"].create_index(["passage_id"])  # type: ignore[union-attr]
    connection.execute(_FIRST_TERMS)
    make(
        "model",
        {
            "id": int,
            "name": str,
            "sha256": str,
            "dims": int,
            "prompt_version": int,
        },
        pk="id",
        not_null={"name", "sha256", "dims", "prompt_version"},
    )
    db["model"].create_index(["sha256", "prompt_version"], unique=True)  # type: ignore[union-attr]
    make(
        "model_file",
        {"path": str, "size": int, "mtime_ns": int, "sha256": str},
        pk="path",
        not_null={"size", "mtime_ns", "sha256"},
    )
    make("cache", {"id": int, "key": bytes, "value": bytes}, pk="id", not_null={"key", "value"})
    db["cache"].create_index(["key"], unique=True)  # type: ignore[union-attr]
    make(
        "segment",
        {"id": int, "model_id": int, "passages": bytes, "scales": bytes, "codes": bytes},
        pk="id",
        not_null={"model_id", "passages", "scales", "codes"},
        foreign_keys=[("model_id", "model", "id")],
    )
    make(
        "vector",
        {"model_id": int, "passage_id": int, "segment_id": int, "exact": bytes},
        pk=("model_id", "passage_id"),
        not_null={"segment_id", "exact"},
        foreign_keys=[
            ("model_id", "model", "id"),
            ("passage_id", "passage", "id"),
            ("segment_id", "segment", "id"),
        ],
    )


def _room_for_a_million(connection: sqlite3.Connection) -> None:
    """1 -> 2: vectors in slots of segments, their codes in a table of their own, without float16
    copies; terms packed in the chunk, and a contentless FTS5 table; the language of a file."""
    import numpy as np

    from qrank.analysis.terms import pack

    run = connection.execute
    # Empty for old documents, which have no term for their language.
    run("ALTER TABLE file ADD COLUMN language TEXT NOT NULL DEFAULT ''")
    run("ALTER TABLE chunk ADD COLUMN packed_terms BLOB NOT NULL DEFAULT x''")
    run("ALTER TABLE terms RENAME TO old_terms")
    run(_TERMS)
    # Bytes of postings that FTS5 collects in memory before it writes a segment: takes a quarter
    # less time than the default of 1 MB. (Less merging, automerge 8, was measured to save another
    # 2 %, and to make queries a fifth slower.)
    run("INSERT INTO terms (terms, rank) VALUES ('hashsize', ?)", (8 << 20,))
    last = 0
    while rows := run(
        "SELECT id, text, body, title, collection FROM chunk "
        "JOIN old_terms ON old_terms.rowid = id WHERE id > ? ORDER BY id LIMIT 1000",
        (last,),
    ).fetchall():
        connection.executemany(
            "UPDATE chunk SET packed_terms = ? WHERE id = ?",
            [(pack(body, title, text), i) for i, text, body, title, _ in rows],
        )
        connection.executemany(
            "INSERT INTO terms (rowid, body, title, collection) VALUES (?, ?, ?, ?)",
            [(i, body, title, collection) for i, _, body, title, collection in rows],
        )
        last = rows[-1][0]
    run("DROP TABLE old_terms")
    run("DROP INDEX idx_chunk_file_id")
    run("CREATE INDEX idx_chunk_file_id_passage_id ON chunk (file_id, passage_id)")

    run("CREATE TABLE loose (passage_id INTEGER PRIMARY KEY)")

    run("ALTER TABLE segment RENAME TO old_segment")
    run("DROP TABLE vector")
    run(
        """CREATE TABLE segment (
            id INTEGER PRIMARY KEY, model_id INTEGER NOT NULL REFERENCES model(id),
            used INTEGER NOT NULL, passages BLOB NOT NULL, scales BLOB NOT NULL
        )"""
    )
    run("CREATE INDEX idx_segment_model_id_used ON segment (model_id, used)")
    run("CREATE TABLE code (segment_id INTEGER PRIMARY KEY, codes BLOB NOT NULL)")
    run(
        """CREATE TABLE vector (
            model_id INTEGER NOT NULL REFERENCES model(id),
            passage_id INTEGER NOT NULL REFERENCES passage(id),
            segment_id INTEGER NOT NULL, slot INTEGER NOT NULL,
            PRIMARY KEY (model_id, passage_id)
        ) WITHOUT ROWID"""
    )
    for model, text_ids, blob in run("SELECT model_id, passages, codes FROM old_segment"):
        ids = np.frombuffer(text_ids, dtype="<i8")
        codes = np.frombuffer(blob, dtype="i1").reshape(len(ids), -1)
        size = max(64, min(4096, (1 << 20) // codes.shape[1]))
        for at in range(0, len(ids), size):
            part, part_ids = codes[at : at + size], ids[at : at + size]
            norms = np.linalg.norm(part.astype(np.float32), axis=1)
            scales = np.where(norms > 0, 1 / np.maximum(norms, 1), 0).astype("<f4")
            segment = run(
                "INSERT INTO segment (model_id, used, passages, scales) VALUES (?, ?, ?, ?)",
                (model, len(part_ids), part_ids.tobytes(), scales.tobytes()),
            ).lastrowid
            run("INSERT INTO code (segment_id, codes) VALUES (?, ?)", (segment, part.tobytes()))
            connection.executemany(
                "INSERT INTO vector (model_id, passage_id, segment_id, slot) VALUES (?, ?, ?, ?)",
                [(model, int(text_id), segment, slot) for slot, text_id in enumerate(part_ids)],
            )
    run("DROP TABLE old_segment")


def _left_out(connection: sqlite3.Connection) -> None:
    """2 -> 3: skipped files, so that they are not read again; fields of documents; which unique
    texts were truncated to the model's window."""
    connection.execute("ALTER TABLE vector ADD COLUMN cut INTEGER NOT NULL DEFAULT 0")
    connection.execute("ALTER TABLE file ADD COLUMN fields TEXT NOT NULL DEFAULT ''")
    connection.execute(
        """CREATE TABLE left_out (
            collection TEXT NOT NULL, path TEXT NOT NULL,
            size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, extractor TEXT NOT NULL,
            kind TEXT NOT NULL, reason TEXT NOT NULL,
            PRIMARY KEY (collection, path)
        ) WITHOUT ROWID"""
    )


def _signatures(connection: sqlite3.Connection) -> None:
    """3 -> 4: the ctime of files (0: unknown), to detect edits that keep size and mtime; an index
    to find vectors by unique text."""
    for table in ("file", "left_out"):
        connection.execute(f"ALTER TABLE {table} ADD COLUMN ctime_ns INTEGER NOT NULL DEFAULT 0")
    connection.execute("CREATE INDEX idx_vector_passage_id ON vector (passage_id)")
    # Replaced by the user's cache (cache.py).
    connection.execute("DROP TABLE cache")
    connection.execute("DROP TABLE model_file")


def _members(connection: sqlite3.Connection) -> None:
    """4 -> 5: members, files within files, each with a row of its own that has the path and
    signature of the file."""
    connection.execute("ALTER TABLE file ADD COLUMN member TEXT NOT NULL DEFAULT ''")
    connection.execute("DROP INDEX idx_file_collection_path")
    connection.execute(
        "CREATE UNIQUE INDEX idx_file_collection_path_member ON file (collection, path, member)"
    )


def _indexed(connection: sqlite3.Connection) -> None:
    """5 -> 6: when a file was indexed (0: unknown), and which parts of it were skipped."""
    connection.execute("ALTER TABLE file ADD COLUMN indexed_ns INTEGER NOT NULL DEFAULT 0")
    connection.execute("ALTER TABLE file ADD COLUMN note TEXT NOT NULL DEFAULT ''")


def _names(connection: sqlite3.Connection) -> None:
    """6 -> 7: name keys, to find documents by name."""
    connection.execute(
        """CREATE TABLE name (
            key TEXT NOT NULL, file_id INTEGER NOT NULL REFERENCES file(id) ON DELETE CASCADE,
            PRIMARY KEY (key, file_id)
        ) WITHOUT ROWID"""
    )
    connection.execute("CREATE INDEX idx_name_file_id ON name (file_id)")
    for file_id, path, member, title in connection.execute(
        "SELECT id, path, member, title FROM file"
    ):
        connection.executemany(
            "INSERT INTO name (key, file_id) VALUES (?, ?)",
            [(key, file_id) for key in name_keys(str(member or path), str(title))],
        )


def _records(connection: sqlite3.Connection) -> None:
    """7 -> 8: fields that filters can test, also of single rows and messages of a file."""
    from qrank.store import records

    run = connection.execute
    run(
        """CREATE TABLE record (
            first INTEGER PRIMARY KEY, last INTEGER NOT NULL,
            file_id INTEGER NOT NULL REFERENCES file(id) ON DELETE CASCADE,
            date_ns INTEGER NOT NULL, dated INTEGER NOT NULL, fields TEXT NOT NULL
        )"""
    )
    run("CREATE INDEX idx_record_file_id ON record (file_id)")
    run("CREATE INDEX idx_record_date_ns ON record (date_ns)")
    run("CREATE TABLE field_name (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)")
    run(
        """CREATE TABLE field_value (
            id INTEGER PRIMARY KEY, name_id INTEGER NOT NULL REFERENCES field_name(id),
            kind TEXT NOT NULL, text TEXT NOT NULL, folded TEXT NOT NULL, number REAL
        )"""
    )
    run("CREATE UNIQUE INDEX idx_field_value_folded ON field_value (name_id, folded)")
    run("CREATE INDEX idx_field_value_number ON field_value (name_id, number)")
    run("CREATE INDEX idx_field_value_kind ON field_value (name_id, kind)")
    run(
        """CREATE TABLE record_value (
            record INTEGER NOT NULL REFERENCES record(first) ON DELETE CASCADE,
            value_id INTEGER NOT NULL REFERENCES field_value(id),
            PRIMARY KEY (record, value_id)
        ) WITHOUT ROWID"""
    )
    run("CREATE INDEX idx_record_value_value_id ON record_value (value_id)")
    # The chunk ids of a file are consecutive, except when old versions indexed in parallel.
    ranges = run(
        "SELECT file_id, min(id), max(id), mtime_ns, fields FROM (SELECT file_id, chunk.id AS id, "
        "chunk.id - row_number() OVER (PARTITION BY file_id ORDER BY chunk.id) AS island, "
        "mtime_ns, fields FROM chunk JOIN file ON file.id = file_id) GROUP BY file_id, island"
    )
    for file_id, first, last, mtime_ns, fields in ranges.fetchall():
        record = records.Record(first, last, file_id, "")
        records.write(connection, [record], fields, mtime_ns)


def _words(connection: sqlite3.Connection) -> None:
    """8 -> 9: the vocabulary, for spelling suggestions."""
    from qrank.store.lookup import words

    connection.execute("CREATE TABLE word (word TEXT PRIMARY KEY) WITHOUT ROWID")
    cached: set[bytes] = set()
    for sql in (
        "SELECT text FROM chunk",
        "SELECT title || char(10) || coalesce(nullif(member, ''), path) FROM file",
    ):
        rows = connection.execute(sql)
        while texts := rows.fetchmany(1000):
            words.add(connection, [str(text) for (text,) in texts], cached)


def _collections(connection: sqlite3.Connection) -> None:
    """9 -> 10: roots, so that collections can be updated without naming their folders; descriptions
    of collections."""
    connection.execute(
        "CREATE TABLE collection (name TEXT PRIMARY KEY, description TEXT NOT NULL) WITHOUT ROWID"
    )
    connection.execute(
        """CREATE TABLE root (
            collection TEXT NOT NULL, path TEXT NOT NULL, options TEXT NOT NULL,
            PRIMARY KEY (collection, path)
        ) WITHOUT ROWID"""
    )


def _homes(connection: sqlite3.Connection) -> None:
    """10 -> 11: the folder that the index is in, so that it can be moved with its files; settings
    of collections."""
    connection.execute("CREATE TABLE home (path TEXT PRIMARY KEY) WITHOUT ROWID")
    for column in ("ignored", "instruction"):
        connection.execute(f"ALTER TABLE collection ADD COLUMN {column} TEXT NOT NULL DEFAULT ''")


# Step i upgrades version i to i + 1. A released step is never changed: later steps change its
# tables. tests/indexes/ has a file of each version.
STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _tables,
    _room_for_a_million,
    _left_out,
    _signatures,
    _members,
    _indexed,
    _names,
    _records,
    _words,
    _collections,
    _homes,
)
VERSION = len(STEPS)
