"""Opening the index file, and turning SQLite's complaints into ours."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from qrank.errors import IndexFileError
from qrank.store import schema

BUSY_SECONDS = 10.0
SAVE_SECONDS = 0.2  # how long a search waits to save what only saves time


def connect(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open an index file, making it first when create is set and nothing is there.

    Raises IndexFileError when it is missing, no index of ours, of a newer version, or damaged.
    """
    if path.is_dir():
        raise IndexFileError(f"{path} is a folder, not an index file")
    if not create and not path.exists():
        raise IndexFileError(f"there is no index at {path}", hint="make it with: qrank index PATH")
    deadline = time.monotonic() + BUSY_SECONDS
    with explained(path):
        while True:
            connection = _open(path, create)
            try:
                _check(connection, path, create)
                return connection
            except BaseException as error:
                connection.close()
                # Turning WAL on does not wait for another run that is making the same file.
                locked = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
                if not locked or time.monotonic() > deadline:
                    raise
            time.sleep(0.05)


def _open(path: Path, create: bool) -> sqlite3.Connection:
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists() or path.stat().st_size == 0
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        if fresh:
            connection.execute("PRAGMA page_size = 16384")
    else:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.OperationalError:
            connection.close()
            if _has_uncommitted_log(path):
                raise
            # A read-only folder has no room for WAL's side files: read the file as it is.
            connection = sqlite3.connect(f"{uri}&immutable=1", uri=True, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _has_uncommitted_log(path: Path) -> bool:
    """Whether a WAL holds what is not in the file itself yet."""
    log = Path(f"{path}-wal")
    return log.exists() and log.stat().st_size > 0


def _check(connection: sqlite3.Connection, path: Path, create: bool) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application == schema.APPLICATION_ID:
        if version > schema.VERSION:
            raise IndexFileError(
                f"{path} was made by a newer qrank (index version {version}, this one reads "
                f"up to {schema.VERSION})",
                hint="upgrade qrank, or name another file with --db",
            )
    elif connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise IndexFileError(
            f"{path} is a SQLite file of another program", hint="name another file with --db"
        )
    elif not create:
        raise IndexFileError(f"the index {path} is empty", hint="fill it with: qrank index PATH")
    else:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            schema.create(connection)
        connection.execute("COMMIT")
    if create:
        connection.execute("PRAGMA synchronous = NORMAL")


def write_if_possible(
    path: Path, sql: str, rows: Sequence[tuple[object, ...]], after: str = ""
) -> None:
    """Write rows, and run one more statement, on a connection of its own; what a read-only or
    busy file does not take within SAVE_SECONDS is left."""
    try:
        with closing(
            sqlite3.connect(path, timeout=SAVE_SECONDS, isolation_level=None)
        ) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(sql, rows)
            if after:
                connection.execute(after)
            connection.execute("COMMIT")
    except sqlite3.Error:
        return


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise what SQLite says about path as an IndexFileError of one sentence."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        said = str(error)
        if "locked" in said or "busy" in said:
            message, hint = f"{path} is in use by another qrank", "try again when it is done"
        elif "full" in said:
            message, hint = f"no space left to write {path}", "free some and run it again"
        elif "readonly" in said or "unable to open" in said:
            message, hint = f"can't open {path} ({said})", "check its folder's permissions"
        elif "not a database" in said:
            message, hint = f"{path} is not an index file", "name another file with --db"
        elif "malformed" in said or "corrupt" in said:
            message = f"the index {path} is damaged ({said})"
            hint = "restore a copy, or move it away and run qrank index again"
        else:
            message, hint = f"the index {path} can't be read ({said})", ""
        raise IndexFileError(message, hint=hint) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise IndexFileError(f"can't open the index {path}: {reason.lower()}") from error
