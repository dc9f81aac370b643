"""The records that report on an index: of runs, files, fields and checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from qrank.results import Signature


@dataclass(frozen=True, slots=True)
class FileError:
    """A file that was skipped, and why. known: as in the last run; partly: only a part of it was;
    secret: it contains keys or passwords; removed: it was indexed; named: the user named it."""

    path: str
    reason: str
    known: bool = False
    partly: bool = False
    secret: bool = False
    removed: bool = False
    named: bool = False


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """An indexed file, with all its parts. vectors: the number of its chunks that have one, of the
    model that searches use; note: which part of it was skipped, and why."""

    path: str
    collection: str
    signature: Signature
    hash: bytes
    title: str
    indexed_ns: int  # when it was indexed, Unix time; 0: by a version that did not record it
    note: str
    chunks: int
    vectors: int
    root: str = ""  # as that of a StoredChunk

    @property
    def indexed_at(self) -> str | None:
        """When it was indexed, as ISO 8601 in UTC."""
        if not self.indexed_ns:
            return None
        return datetime.fromtimestamp(self.indexed_ns // 10**9, UTC).isoformat()


@dataclass(slots=True)
class SkipReason:
    """A reason for which files and folders are not in the index; examples: paths of the first."""

    reason: str
    files: int = 0
    folders: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class PathStatus:
    """What is indexed at a path, and why other files are not. indexed: of a file, one for each
    collection that has it; reason: why the path itself is not indexed, "" if it is; skipped: of a
    folder.

    Counts, of a file or of all files below a folder: files; their chunks, and vectors; files that
    were read in part; stale ones, which changed since; those elsewhere, not on this machine.
    """

    path: str
    is_folder: bool
    indexed: list[IndexedFile] = field(default_factory=list)
    reason: str = ""
    format: str = ""
    files: int = 0
    chunks: int = 0
    vectors: int = 0
    partly: int = 0
    stale: int = 0
    elsewhere: int = 0
    skipped: list[SkipReason] = field(default_factory=list)


@dataclass(slots=True)
class IndexReport:
    """The result of an index run."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    skipped: int = 0
    failed: int = 0
    chunks: int = 0
    embedded: int = 0
    model: str | None = None  # the embedding model's name
    replaced: list[str] = field(default_factory=list)  # names of models whose vectors it replaced
    errors: list[FileError] = field(default_factory=list)
    seconds: float = 0.0
    missing: list[str] = field(default_factory=list)  # roots of collections that do not exist now

    def to_dict(self) -> dict[str, Any]:
        """This object as `qrank index --json` prints it."""
        from qrank import json_form

        return json_form.index_report(self)

    @property
    def file_count(self) -> int:
        """The number of files in the index, and of those that were removed from it."""
        return self.added + self.updated + self.unchanged + self.removed

    @property
    def changed(self) -> bool:
        """Whether the index has changed, or a file was skipped that was not before."""
        news = any(not error.known for error in self.errors)
        return bool(self.added or self.updated or self.removed or self.embedded or news)


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check of `qrank doctor`; hint: what to do."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ValueCount:
    """A value of a field, and the number of documents, rows or messages with it."""

    value: str
    count: int


@dataclass(frozen=True, slots=True)
class FieldCount:
    """A field of documents, rows or messages."""

    name: str
    kinds: list[str]  # of its values: text, number, date, truth
    records: int  # the number of documents, rows or messages with it
    distinct: int  # the number of its different values
    values: list[ValueCount]  # the most frequent ones
