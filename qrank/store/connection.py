"""Opening the index file, and translating SQLite's errors."""

from __future__ import annotations

import logging
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qrank.analysis.fields import folded
from qrank.errors import IndexFileError, NoIndexError
from qrank.names import composed
from qrank.store import schema
from qrank.store.decode import LONGEST_VALUE, DamagedError
from qrank.store.lookup import home

_log = logging.getLogger("qrank")
BUSY_SECONDS = 10.0
DAMAGED = "restore a copy, or move it away and run qrank index again"


def connect(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open an index file, for reading; create: for writing, creating it when it is missing.

    An index of an older version is upgraded first, also for reading. Raises IndexFileError when it
    is missing, not an index, of a newer version, of an older one but read-only, or damaged.
    """
    try:
        path.absolute()  # raises OSError for a relative path when the working folder was deleted
        return _connect(path, create=create)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = str(getattr(error, "strerror", None) or error)
        raise IndexFileError(f"can't open the index {path}: {reason.lower()}") from error


def _connect(path: Path, *, create: bool) -> sqlite3.Connection:
    if path.is_dir():
        raise IndexFileError(f"{path} is a folder, not an index file")
    if not create and not path.exists():
        raise NoIndexError(f"there is no index at {path}", hint="create it with: qrank index PATH")
    with translate_sqlite_errors(path):
        if create:
            return _retried(lambda: _open_to_write(path))
        connection = open_to_read(path)
        try:
            version = _version_to_upgrade(connection, path)
        except BaseException:
            connection.close()
            raise
        if version is not None:
            connection.close()
            _upgrade_for_reading(path, version)
            connection = open_to_read(path)
        return _following(connection, path)


def open_another(path: Path) -> sqlite3.Connection:
    """Open another connection, for a thread, to an index that is open for reading."""
    return _following(open_to_read(path), path)


def _following(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    try:
        home.follow(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _open_to_write(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists() or path.stat().st_size == 0
    connection = hardened(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None))
    try:
        if fresh:
            connection.execute("PRAGMA page_size = 16384")
        version = _version_to_upgrade(connection, path, may_be_empty=True)
        if version is not None:
            if version == 0:
                connection.execute("PRAGMA journal_mode = WAL")
            else:
                _log.warning("upgrading the index %s to version %d", path, schema.VERSION)
            schema.upgrade(connection)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -32768")  # kB: hashes of texts come in any order
        connection.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: 64 MB
        home.settle(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open an existing file read-only, also on read-only media. Raises sqlite3.Error."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    # check_same_thread: another thread may close it.
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if _has_uncommitted_log(path):
            raise
        # In a read-only folder the -wal and -shm files can't be created: read the file alone.
        connection = sqlite3.connect(
            f"{uri}&immutable=1", uri=True, isolation_level=None, check_same_thread=False
        )
    return hardened(connection)


def hardened(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Prepare a connection for an untrusted file: its schema can't run functions, and values of
    gigabytes are refused (see SQLite's "Defense Against The Dark Arts"). Adds our SQL functions;
    returns the connection."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
    connection.create_function("nfc", 1, composed, deterministic=True)
    connection.create_function("folded", 1, _folded, deterministic=True)
    connection.create_function("has_words", 2, _has_words, deterministic=True)
    return connection


def _folded(value: object) -> str:
    return folded(value) if isinstance(value, str) else ""


def _has_words(value: object, words: str) -> bool:
    """Whether a folded value contains words as whole words."""
    return isinstance(value, str) and bool(re.search(rf"(?<!\w){re.escape(words)}(?!\w)", value))


def _retried(attempt: Callable[[], sqlite3.Connection]) -> sqlite3.Connection:
    """Retry for BUSY_SECONDS while the file is locked: switching to WAL ignores the busy timeout,
    which matters when two processes create the same file."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return attempt()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def _has_uncommitted_log(path: Path) -> bool:
    """Whether there is a write-ahead log with content, which the file itself may not have yet."""
    log = Path(f"{path}-wal")
    return log.exists() and log.stat().st_size > 0


def _version_to_upgrade(
    connection: sqlite3.Connection, path: Path, *, may_be_empty: bool = False
) -> int | None:
    """The version of a file that is to be upgraded (0 when it is empty), None when it is current.

    Raises IndexFileError when it is not an index, or of a newer version.
    """
    # In this order, as another process may be creating it.
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application == schema.APPLICATION_ID:
        version = schema.version(connection)
        foreign = schema.foreign_object(connection)
        if foreign or (tables and version < 1):
            raise IndexFileError(
                f"{path} contains things that no qrank index has "
                f"({foreign or f'version {version}'})",
                hint="do not use it, or ask its author for a qrank export",
            )
        if version > schema.VERSION:
            raise IndexFileError(
                f"{path} was made by a newer qrank (index version {version}, this one reads "
                f"up to {schema.VERSION})",
                hint="upgrade qrank, or name another file with --db",
            )
        return version if version < schema.VERSION else None
    if tables:
        raise IndexFileError(
            f"{path} is a SQLite file of another program", hint="name another file with --db"
        )
    if not may_be_empty:
        raise IndexFileError(f"the index {path} is empty", hint="add files with: qrank index PATH")
    return 0


def _upgrade_for_reading(path: Path, version: int) -> None:
    try:
        _retried(lambda: _open_to_write(path)).close()
    except sqlite3.OperationalError as error:
        if "readonly" not in str(error) and "unable to open" not in str(error):
            raise
        raise IndexFileError(
            f"{path} is an index of version {version}, which this qrank has to upgrade to "
            f"{schema.VERSION} first, but it can't be written",
            hint="copy it to a writable folder, and name the copy with --db",
        ) from error


def _writer(path: Path) -> int | None:
    """The id of the process that is writing path, on Linux; None when unknown."""
    try:
        inode = Path(f"{path}-shm").stat().st_ino
        locks = Path("/proc/locks").read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in locks:  # "1: POSIX  ADVISORY  WRITE 1234 fe:00:5678 120 120"
        fields = line.split()
        # By SQLite's documentation of WAL, the writer has a lock on byte 120 of the -shm file.
        if fields[3:4] == ["WRITE"] and fields[5].endswith(f":{inode}") and fields[6] == "120":
            return int(fields[4])
    return None


@contextmanager
def translate_sqlite_errors(path: Path) -> Iterator[None]:
    """Raise errors of SQLite as an IndexFileError about path, with a hint. Other errors are not
    translated: code inside may read files that have nothing to do with the index."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        reason = str(error)
        if isinstance(error, DamagedError) or "UTF-8" in reason or "too big" in reason:
            message, hint = f"the index {path} is damaged ({reason})", DAMAGED
        elif "locked" in reason or "busy" in reason:
            writer = _writer(path)
            who = f" (process {writer})" if writer else ""
            message, hint = (
                f"{path} is in use by another qrank{who}",
                "try again when that one is done",
            )
        elif "full" in reason:
            message, hint = f"no space left to write {path}", "free some space and run it again"
        elif "I/O error" in reason:
            message, hint = (
                f"can't use {path} ({reason})",
                "check whether its disk is full or failing",
            )
        elif "readonly" in reason or "unable to open" in reason:
            message, hint = f"can't open {path} ({reason})", "check the permissions of its folder"
        elif "not a database" in reason:
            message, hint = f"{path} is not an index file", "name another file with --db"
        elif "malformed" in reason or "corrupt" in reason:
            message, hint = f"the index {path} is damaged ({reason})", DAMAGED
        else:
            message, hint = f"the index {path} can't be read ({reason})", ""
        raise IndexFileError(message, hint=hint) from error
    except UnicodeDecodeError as error:  # raised by sqlite3 for names in a damaged schema
        message = f"the index {path} is damaged (a name is not UTF-8)"
        raise IndexFileError(message, hint=DAMAGED) from error
