"""The records that the parts of qrank exchange: documents, chunks, results. reports.py has those of
what is in an index. Nothing heavy may be imported here: every search imports it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qrank.analysis.copies import Copy
    from qrank.analysis.spelling import Suggestion
    from qrank.settings import Reading

_SLIDES = frozenset("pptx pptm ppsx ppsm potx potm ppt pps pot odp otp fodp".split())
_SHEETS = frozenset("xlsx xlsm xlsb xltx xltm xls ods ots fods".split())
IN_ARCHIVE = "!/"  # separates the path of an archive and that of a member


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
    """A unit of a document: a paragraph, a heading, a code block.

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
    """The text extracted from a file, or from a section of a long one, with its title and blocks. A
    file may contain others (an archive, a PDF with attachments): their documents follow, with the
    path in the file as `member`."""

    text: str
    title: str
    blocks: list[Block]
    offset: int = 0  # bytes of the file before the text (a byte order mark, earlier sections)
    line: int = 0  # lines of the file before the text
    lines: Sequence[int] | None = None  # the line number in the file of each line of text
    fields: Mapping[str, object] = MappingProxyType({})  # front matter, a mail's date and sender
    note: str = ""  # which part of the file so far was skipped, and why
    member: str = ""
    part_fields: Mapping[int, Mapping[str, object]] = MappingProxyType({})  # of rows, by part


class Chunk(NamedTuple):
    """A chunk of a file. Offsets are bytes in the file or, if it is not UTF-8 text, in the
    extracted text in UTF-8; end_byte is exclusive. Lines count from 1; end_line is inclusive."""

    text: str
    heading: str
    start_byte: int
    end_byte: int
    start_line: int
    end_line: int
    page: int | None = None


class Embedded(NamedTuple):
    """Unit vectors of texts, of shape (texts, dims), and the indices of texts that were truncated
    to the model's context; those are unknown for model servers."""

    vectors: NDArray[np.float32]
    truncated: list[int]


class NewChunk(NamedTuple):
    """A chunk to be added to the store."""

    chunk: Chunk
    body_terms: str  # separated by spaces
    title_terms: str
    unique_hash: bytes  # see chunk_text.unique_hash
    packed_terms: bytes  # the terms, compressed (analysis/terms.py)
    fields: str = ""  # JSON, of a row or message that has its own
    part: int = 0  # its number in the document


class Signature(NamedTuple):
    """A file's size in bytes and its times in ns since 1970. While they do not change, the content
    is assumed not to have changed. ctime_ns reveals edits that keep size and mtime; 0: unknown, as
    on Windows, and in an index that was imported or made by an older version."""

    size: int
    mtime_ns: int
    ctime_ns: int = 0

    @classmethod
    def of(cls, info: os.stat_result) -> Signature:
        """The signature of a file from `os.stat`."""
        # On Windows st_ctime is the time of creation.
        return cls(info.st_size, info.st_mtime_ns, 0 if os.name == "nt" else info.st_ctime_ns)

    def matches(self, other: Signature) -> bool:
        """Whether a file with both signatures, at different times, is unchanged."""
        same = self.ctime_ns == other.ctime_ns or not (self.ctime_ns and other.ctime_ns)
        return same and self[:2] == other[:2]


def location(path: str, member: str | None) -> str:
    """The path of a file, followed by that of a member in it, if any.

    >>> location("/a.zip", "b/c.docx"), location("/a.md", None)
    ('/a.zip!/b/c.docx', '/a.md')
    """
    return f"{path}{IN_ARCHIVE}{member}" if member else path


def page_label(location: str, page: int | None) -> str:
    """A page's number with its name in this kind of file (page, slide, sheet); "" for None.

    >>> page_label("/a.pdf", 3), page_label("/a.odp", 3), page_label("/a.zip!/b.XLSX", 1)
    ('page 3', 'slide 3', 'sheet 1')
    """
    if page is None:
        return ""
    suffix = location.rpartition(".")[2].lower()
    word = "slide" if suffix in _SLIDES else "sheet" if suffix in _SHEETS else "page"
    return f"{word} {page}"


class StoredChunk(NamedTuple):
    """A chunk in the store, with its file and fields."""

    id: int
    text_id: int  # of its unique text
    path: str
    collection: str
    title: str
    signature: Signature
    hash: bytes
    fields: str  # JSON or "": of the row or message if it has its own, else of the file
    chunk: Chunk
    member: str = ""  # the path in the file at path, if that contains files
    date_ns: int = 0  # its own date, else the file's time of modification, in ns since 1970
    unique_hash: bytes = b""
    copy: int = 0  # the number of chunks before it in its document with the same unique text
    root: str = ""  # a folder; when it does not exist, the file is on another machine

    @property
    def location(self) -> str:
        """The file's path, followed by that of the member, if any."""
        return location(self.path, self.member)


@dataclass(frozen=True, slots=True)
class StageScore:
    """A candidate's rank, from 1, and score in one stage."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class RerankScore:
    """The result of reranking. p_yes: the reranker's P(yes); score: what candidates are sorted by,
    P(yes) or its mean with the fused score."""

    score: float
    p_yes: float
    cached: bool


@dataclass(slots=True)
class Scores:
    """The scores of a result by stage; None if the stage did not score it."""

    bm25: StageScore | None = None
    vector: StageScore | None = None
    fused: StageScore | None = None
    rerank: RerankScore | None = None
    shift: float = 0.0  # subtracted from the BM25 score (searching/fusion.py)
    named: bool = False  # whether the query is the name of its document, or of a definition in it


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedChunk:
    """A chunk of the index, with its file and fields."""

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
    stale: bool | None  # None: its folder is not on this machine
    member: str | None = None  # the path in the file at path, if that is an archive
    ocr: bool = False  # whether the text was read by OCR
    number: int = 0  # of the chunk in this index; internal
    date_ns: int = 0  # its own date, else the file's time of modification; internal

    @property
    def location(self) -> str:
        """The file's path, followed by that of the member, if any."""
        return location(self.path, self.member)

    @property
    def hash(self) -> str:
        """The hash of its text, for `qrank verify`."""
        from qrank.chunk_text import text_hash

        return text_hash(self.text)

    def to_dict(self) -> dict[str, Any]:
        """This object as `qrank get --jsonl` prints it."""
        from qrank import json_form

        return json_form.indexed_chunk(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(IndexedChunk):
    """A ranked chunk of an answer. calibrated: whether score is a probability of relevance."""

    rank: int
    score: float
    score_kind: str
    scores: Scores
    calibrated: bool = False
    matches: list[tuple[int, int]] = field(default_factory=list)  # of query words, in the text
    copies: list[Copy] = field(default_factory=list)  # near-duplicates
    index: str | None = None  # the path of its index, if several were searched

    def to_dict(self) -> dict[str, Any]:
        """This object as `qrank search --jsonl` prints it."""
        from qrank import json_form

        return json_form.result(self)


@dataclass(slots=True)
class Answer:
    """The answer to a query. It can be used as a sequence of its results: `for result in answer`,
    `len(answer)`; an answer without results is false."""

    query: str
    mode: str
    models: dict[str, str | None]
    results: list[Result]
    timings_ms: dict[str, float] = field(default_factory=dict)
    reranked: int = 0
    candidates: int = 0
    truncated: bool = False
    terms: list[str] = field(default_factory=list)  # the query's index terms, to highlight them
    notices: list[str] = field(default_factory=list)  # why there are no, or only weak, results
    # answer_seconds, if not all candidates could be reranked in that time; None otherwise.
    promised: float | None = None
    needed: float = 0.0  # about how many seconds reranking all candidates takes
    # If several queries were fused: each query, with the ids of results it gave a BM25 score.
    parts: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    suggestions: list[Suggestion] = field(default_factory=list)
    synonyms: list[str] = field(default_factory=list)  # "a = b": b was added to the query

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def to_dict(self) -> dict[str, Any]:
        """This object as `qrank search --json` prints it."""
        from qrank import json_form

        return json_form.answer(self)


class Task(NamedTuple):
    """A regular file to be read. path: in its stored form; known_hash: of its content when it was
    last indexed; secret: read it even if it contains a key; reading: how to read it, if not as the
    other files."""

    path: str
    signature: Signature
    known_hash: bytes | None = None
    secret: bool = False
    reading: Reading | None = None
