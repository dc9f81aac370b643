"""The records that qrank's parts exchange. Nothing heavy is imported here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qrank.analysis.copies import Copy
    from qrank.analysis.spelling import Suggestion
    from qrank.settings import Reading

_SLIDES = frozenset("pptx pptm ppsx ppsm potx potm ppt pps pot odp otp fodp".split())
_SHEETS = frozenset("xlsx xlsm xlsb xltx xltm xls ods ots fods".split())
IN_ARCHIVE = "!/"  # between the path of an archive and that of a member


class Mode(StrEnum):
    """How candidates are found."""

    hybrid = "hybrid"
    bm25 = "bm25"
    vector = "vector"


class Sort(StrEnum):
    """Orders of results other than by score."""

    date = "date"
    path = "path"


class Stale(StrEnum):
    """How to treat results whose file has changed since indexing."""

    warn = "warn"
    drop = "drop"
    fail = "fail"


class Block(NamedTuple):
    """A stretch of a document that belongs together: a paragraph, a heading, a code block.

    start and end are character offsets into the document's text; heading is the path of the
    headings above it, outermost first; page (a slide, a sheet) counts from 1. Blocks of different
    parts (pages, rows, messages) never share a chunk.
    """

    start: int
    end: int
    heading: tuple[str, ...] = ()
    page: int | None = None
    part: int = 0


class Document(NamedTuple):
    """What was extracted from one file, or from a stretch of a long one: its text, where its
    parts are, and its own title. A file may hold others (an archive, a PDF with attachments):
    theirs come after its own, each with the file's path in it as its member."""

    text: str
    title: str
    blocks: list[Block]
    offset: int = 0  # bytes of the file before the text (a byte order mark, earlier stretches)
    line: int = 0  # lines of the file before the text
    lines: Sequence[int] | None = None  # of each line of text the line of the file it is from
    fields: Mapping[str, object] = MappingProxyType({})  # front matter, a mail's date and sender
    note: str = ""  # what of the file up to here was skipped, and why
    member: str = ""
    part_fields: Mapping[int, Mapping[str, object]] = MappingProxyType({})  # of parts that are rows


class Chunk(NamedTuple):
    """A chunk of a file. Offsets are bytes in the file, or in the text extracted from it when
    that is not UTF-8 text; lines count from 1; ends as in Python for bytes, inclusive for lines."""

    text: str
    heading: str
    start_byte: int
    end_byte: int
    start_line: int
    end_line: int
    page: int | None = None


class Embedded(NamedTuple):
    """Unit vectors of texts, of shape (texts, dims), and which of the texts were longer than the
    model's window, so that their ends count for nothing; a server does not tell."""

    vectors: NDArray[np.float32]
    truncated: list[int]


class NewChunk(NamedTuple):
    """A chunk on its way into the index: its terms, separated by blanks; the hash of what models
    are given; the terms as the index keeps them; and, of a row or a message that has fields of its
    own, those as JSON and its number in the document."""

    chunk: Chunk
    body_terms: str
    title_terms: str
    unique_hash: bytes
    packed_terms: bytes
    fields: str = ""
    part: int = 0


class Signature(NamedTuple):
    """A file's size in bytes and its times in ns since 1970: as long as they are the same, its
    content is taken to be the same. ctime_ns also tells an edit that keeps size and mtime; it is 0
    where it is not known: on Windows, in an index that was imported or made by an older version."""

    size: int
    mtime_ns: int
    ctime_ns: int = 0

    @classmethod
    def of(cls, info: os.stat_result) -> Signature:
        """The signature of a file from `os.stat`."""
        # Windows gives the time of creation under this name.
        return cls(info.st_size, info.st_mtime_ns, 0 if os.name == "nt" else info.st_ctime_ns)

    def matches(self, other: Signature) -> bool:
        """Whether a file that had the one signature and has the other now is unchanged."""
        if self[:2] != other[:2]:
            return False
        return self.ctime_ns == other.ctime_ns or not (self.ctime_ns and other.ctime_ns)


def location(path: str, member: str | None) -> str:
    """The location of a file for people; a member comes after its file.

    >>> location("/a.zip", "b/c.docx"), location("/a.md", None)
    ('/a.zip!/b/c.docx', '/a.md')
    """
    return f"{path}{IN_ARCHIVE}{member}" if member else path


def page_label(location: str, page: int | None) -> str:
    """What a page is called in a kind of file, and its number; empty without one.

    >>> page_label("/a.pdf", 3), page_label("/a.odp", 3), page_label("/a.zip!/b.XLSX", 1)
    ('page 3', 'slide 3', 'sheet 1')
    """
    if page is None:
        return ""
    suffix = location.rpartition(".")[2].lower()
    word = "slide" if suffix in _SLIDES else "sheet" if suffix in _SHEETS else "page"
    return f"{word} {page}"


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as the index holds it, with its file and its fields."""

    id: int
    text_id: int
    path: str
    collection: str
    title: str
    signature: Signature
    hash: bytes
    fields: str  # JSON, or empty: its own, where it is a row or a message, else its file's
    chunk: Chunk
    member: str = ""  # the path of a file within the file; empty for the file itself
    date_ns: int = 0  # its own date, else when its file was modified, in ns since 1970
    unique_hash: bytes = b""
    copy: int = 0  # how many chunks before it in its document have the same unique text

    @property
    def location(self) -> str:
        """The file's path; of a member with the path of what it is in before it."""
        return location(self.path, self.member)


@dataclass(frozen=True, slots=True)
class StageScore:
    """A candidate's place in one stage: rank counts from 1."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class RerankScore:
    """How relevant the reranker finds a chunk. score: what ordered it; p_yes: its answer alone."""

    score: float
    p_yes: float
    cached: bool


@dataclass(slots=True)
class Scores:
    """The scores of a result by stage; None where the stage did not see it."""

    bm25: StageScore | None = None
    vector: StageScore | None = None
    fused: StageScore | None = None
    rerank: RerankScore | None = None
    shift: float = 0.0  # by how much the BM25 score was lowered for its document's other chunks
    named: bool = False  # whether the query is the name of its document, or of what it defines


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedChunk:
    """A chunk as the index holds it, with its file's names and fields."""

    id: str
    path: str
    collection: str
    title: str
    heading: str
    start_line: int
    end_line: int
    start_byte: int
    end_byte: int
    page: int | None
    text: str
    fields: dict[str, Any]  # front matter, a mail's date and sender, the columns of a row
    stale: bool
    member: str | None = None  # the path of a file within the file at path, an archive
    ocr: bool = False  # the text was read from a picture
    number: int = 0  # of the chunk in this index; it is not shown
    date_ns: int = 0  # its own date, else when its file was modified; it is not shown

    @property
    def location(self) -> str:
        """The file's path; of a member with the path of what it is in before it."""
        return location(self.path, self.member)

    @property
    def hash(self) -> str:
        """The hash of its text, by which a citation can be verified."""
        from qrank.chunk_text import text_hash

        return text_hash(self.text)

    def to_dict(self) -> dict[str, Any]:
        """This object as `qrank get --jsonl` prints it."""
        from qrank import json_form

        return json_form.indexed_chunk(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(IndexedChunk):
    """One ranked chunk of an answer. calibrated: whether score is a probability of relevance."""

    rank: int
    score: float
    score_kind: str
    scores: Scores
    calibrated: bool = False
    matches: list[tuple[int, int]] = field(default_factory=list)  # of query words, in the text
    copies: list[Copy] = field(default_factory=list)  # near-duplicates
    index: str | None = None  # the index file it is from, where several were searched

    def to_dict(self) -> dict[str, Any]:
        """This object as `qrank search --jsonl` prints it."""
        from qrank import json_form

        return json_form.result(self)


@dataclass(slots=True)
class Answer:
    """The answer to one query, with how it came about. It is a sequence of its results: `for
    result in answer`, `len(answer)`; an answer without any is false."""

    query: str
    mode: str
    models: dict[str, str | None]
    results: list[Result]
    timings_ms: dict[str, float] = field(default_factory=dict)
    reranked: int = 0
    candidates: int = 0
    truncated: bool = False
    terms: list[str] = field(default_factory=list)  # the query's index terms, for marking
    notices: list[str] = field(default_factory=list)  # why there is nothing, or only weak results
    # answer_seconds, where they left candidates unread, and about how many all would have taken.
    promised: float | None = None
    needed: float = 0.0
    # Of several queries that were fused: each, and the ids of the results it gave a BM25 score.
    parts: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    suggestions: list[Suggestion] = field(default_factory=list)
    synonyms: list[str] = field(default_factory=list)  # "a = b": what the query was widened with

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def to_dict(self) -> dict[str, Any]:
        """This object as `qrank search --json` prints it."""
        from qrank import json_form

        return json_form.answer(self)


@dataclass(frozen=True, slots=True)
class PackedChunk:
    """One or more neighbouring chunks of a file, for a language model to read."""

    path: str
    heading: str
    start_line: int
    end_line: int
    start_byte: int
    end_byte: int
    page: int | None
    score: float  # of the best of them
    ids: list[str]
    tokens: int  # estimated, with the line that says where it is from
    text: str
    stale: bool
    member: str | None = None

    @property
    def location(self) -> str:
        """The file's path; of a member with the path of what it is in before it."""
        return location(self.path, self.member)


@dataclass(frozen=True, slots=True)
class Packed:
    """The best chunks that fit into max_tokens; tokens: estimated; best: those of the best one."""

    query: str
    max_tokens: int
    tokens: int
    chunks: list[PackedChunk]
    best: int = 0


@dataclass(frozen=True, slots=True)
class FileError:
    """A file that was skipped, and why; known: it was for the same reason the last time; partly:
    only something in it was; secret: it holds keys or passwords; removed: it was in the index;
    named: the user named it."""

    path: str
    reason: str
    known: bool = False
    partly: bool = False
    secret: bool = False
    removed: bool = False
    named: bool = False


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A file as it was indexed, with all its parts. vectors: how many of its chunks have one of
    the model that the index is searched with; note: what of it was skipped, and why."""

    path: str
    collection: str
    signature: Signature
    hash: bytes
    title: str
    indexed_ns: int  # Unix time; 0 where an older version did not note it
    note: str
    chunks: int
    vectors: int

    @property
    def indexed_at(self) -> str | None:
        """When it was indexed, as ISO 8601 in UTC."""
        if not self.indexed_ns:
            return None
        return datetime.fromtimestamp(self.indexed_ns // 10**9, UTC).isoformat()


@dataclass(slots=True)
class SkipReason:
    """Why some files and folders are not in the index; examples: the first of them."""

    reason: str
    files: int = 0
    folders: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class PathStatus:
    """The indexed files at a path, and why others are not indexed. reason: why the path
    itself is not in the index, though it is there; empty when it is. stale, partly: files that
    changed since, or of which something was skipped."""

    path: str
    is_folder: bool
    indexed: list[IndexedFile]
    reason: str = ""
    format: str = ""
    stale: set[str] = field(default_factory=set)
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
    replaced: list[str] = field(default_factory=list)  # names of the models it took the place of
    errors: list[FileError] = field(default_factory=list)
    seconds: float = 0.0
    missing: list[str] = field(default_factory=list)  # roots of collections, not there now

    def to_dict(self) -> dict[str, Any]:
        """This object as `qrank index --json` prints it."""
        from qrank import json_form

        return json_form.index_report(self)

    @property
    def file_count(self) -> int:
        """How many files it had to do with that are, or were, in the index."""
        return self.added + self.updated + self.unchanged + self.removed

    @property
    def changed(self) -> bool:
        """Whether the index is another than before, or something new was skipped."""
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
    """A value of a field, and how many documents (or rows, or messages) have it."""

    value: str
    count: int


@dataclass(frozen=True, slots=True)
class FieldCount:
    """A field: the kinds of its values (text, number, date, truth), how many documents, rows or
    messages have it, how many values it has, and the most frequent of them."""

    name: str
    kinds: list[str]
    records: int
    distinct: int
    values: list[ValueCount]


@dataclass(frozen=True, slots=True)
class RankedText:
    """A text: its place in the input (from 0) and its relevance, 0 to 1; None: it was not read."""

    index: int
    score: float | None


@dataclass(frozen=True, slots=True)
class Record:
    """A document that is not a file."""

    id: str
    title: str
    text: str


class Task(NamedTuple):
    """A regular file found by the walk, to be read; its path is absolute, and fit to be
    shown. known_hash: what its content hashed to when it was last indexed; secret: it is read even
    if it holds a key; reading: how, where that is not how the others are."""

    path: str
    signature: Signature
    known_hash: bytes | None = None
    secret: bool = False
    reading: Reading | None = None
