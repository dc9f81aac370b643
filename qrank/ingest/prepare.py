"""Preparing one file for the index: its chunks with their terms, in parts.

Runs in the main process for plain text, in a worker process for everything else.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import PurePath
from typing import BinaryIO, NamedTuple

from qrank.analysis import text
from qrank.analysis.language import ENGLISH, language
from qrank.analysis.terms import new_chunk
from qrank.chunk_text import unique_hash
from qrank.errors import ExtractError, Problem, SecretError
from qrank.ingest import secrets
from qrank.ingest.chunk import chunk_parts
from qrank.ingest.content import data_hash, file_hash, open_regular
from qrank.ingest.extract import (
    HEAD,
    documents,
    is_archive,
    is_isolated,
    is_picture,
    may_hold_files,
    takes_fields,
)
from qrank.ingest.pre import preprocessed
from qrank.markup import readable
from qrank.results import Document, NewChunk, Signature, Task, location
from qrank.settings import Reading

IN_MEMORY = 4 << 20  # bytes; a larger file is read twice, for its hash and for its text
PART = 1 << 20  # characters of text per part
MAX_TITLE = 1000  # characters; it is given to models with each chunk
OF_OCR = ".ocr-"  # in the extractor of a file read with OCR; followed by the languages
OF_ARCHIVE = ".archive"  # in the extractor of an archive whose files were read
MAX_NAMES = 4000  # characters of the names that are indexed with the title
# The fields of a document that are indexed with the title.
SEARCHED_FIELDS = ("author", "subject", "keywords")

NO_SIGNATURE = Signature(0, 0)


class Part(NamedTuple):
    """Some chunks of a document. member: the path of a file within the file, "" for itself. title,
    language (of text in Latin script) and fields (JSON) are repeated in each part of a document.
    note: which part of the file was skipped so far, and why."""

    chunks: list[NewChunk]
    note: str = ""
    member: str = ""
    title: str = ""
    language: str = ENGLISH
    fields: str = ""


@dataclass(slots=True)
class Outcome:
    """The result of reading a file: a problem, or its parts.

    first: the first part; complete: there are no others. rest: an iterator over the others, which
    raises ExtractError or OSError when the file can't be read to its end.
    """

    task: Task
    problem: Problem | None = None
    signature: Signature = NO_SIGNATURE  # when it was read
    content_hash: bytes = b""
    first: Part = field(default_factory=lambda: Part([]))
    rest: Iterator[Part] = field(default_factory=lambda: iter(()))
    complete: bool = True
    unchanged: bool = False
    secret: bool = False  # it contains a key
    note: str = ""  # the last note of the parts that were written

    def parts(self) -> Iterator[Part]:
        """All parts; can be iterated once."""
        yield self.first
        yield from self.rest


def needs_worker(path: str, reading: Reading) -> bool:
    """Whether a file must be read in a worker process."""

    def head() -> bytes:
        try:
            with open_regular(path) as file:
                return file.read(HEAD)
        except (OSError, ExtractError):  # reported when the file is read
            return b""

    if wants_pre(path, reading):
        return True
    if reading.ocr and is_picture(path):
        return True
    if is_archive(path) and not reading.archives:
        return False  # it is not opened
    return is_isolated(path, head)


def wants_pre(path: str, reading: Reading) -> bool:
    """Whether a file is read with the user's command (--pre)."""
    if not reading.pre:
        return False
    name = PurePath(path).name
    return not reading.pre_globs or any(
        fnmatch(path if "/" in glob else name, glob) for glob in reading.pre_globs
    )


def options_key(path: str, reading: Reading) -> str:
    """A key for the options that change a file's text, part of its extractor; empty for the
    defaults."""
    options = ""
    if wants_pre(path, reading):
        options = repr(reading.pre)
    elif reading.fields and takes_fields(path):
        options = repr(reading.fields)
    key = "." + hashlib.blake2b(options.encode(), digest_size=4).hexdigest() if options else ""
    key += OF_ARCHIVE * (reading.archives and is_archive(path))
    pictures = reading.archives if is_archive(path) else may_hold_files(path) or is_picture(path)
    return f"{key}{OF_OCR}{reading.ocr}" if reading.ocr and pictures else key


def with_earlier_options(reading: Reading, extractor: str) -> Reading:
    """reading with the options (archives, OCR) that a file was read with before, by its extractor:
    later runs without them keep and update its text."""
    if OF_ARCHIVE in extractor and not reading.archives:
        reading = replace(reading, archives=True)
    if OF_OCR in extractor and not reading.ocr:
        reading = replace(reading, ocr=extractor.rpartition(OF_OCR)[2].partition(".")[0])
    return reading


def prepare(task: Task, reading: Reading) -> Iterator[Outcome | Part]:
    """Yield the outcome of a file with its first part, then its other parts.

    Raises ExtractError, NoTextError, SecretError, and OSError when it can't be read or changes
    while it is read.
    """
    reading = task.reading or reading
    with open_regular(task.path) as file:
        signature = Signature.of(os.fstat(file.fileno()))
        source: BinaryIO = file
        if signature.size <= IN_MEMORY:
            data = file.read()
            digest = data_hash(data)
            source = io.BytesIO(data)
            secret_kind = secrets.kind_by_content(data)
        else:
            digest = file_hash(file)
            file.seek(0)
            secret_kind = secrets.kind_by_content(file.read(secrets.HEAD))
            file.seek(0)
        if secret_kind and not task.secret:
            raise SecretError(secret_kind)
        outcome = Outcome(task, None, signature, digest, secret=bool(secret_kind))
        if digest == task.known_hash:
            outcome.unchanged = True
            yield outcome
            return
        parts = _parts(task, source, reading)
        outcome.first = next(parts)
        for part in parts:
            if outcome.complete:
                outcome.complete = False
                yield outcome
            yield part
        if Signature.of(os.fstat(file.fileno())) != signature:
            raise OSError(errno.EBUSY, "it changed while being read")
        if outcome.complete:
            yield outcome


def _parts(task: Task, file: BinaryIO, reading: Reading) -> Iterator[Part]:
    """Yield the chunks of a file in parts, at least one. Parts of members follow the file's own."""
    stem = PurePath(task.path).stem
    part = Part([])  # the current one
    names = stem
    size = 0
    offset = line = 0  # of the text extracted so far
    for number, document in enumerate(_documents(task.path, file, reading)):
        if number and document.member == part.member:
            if not document.offset:  # extracted text: continue the offsets
                document = document._replace(offset=offset, line=0 if document.lines else line)
        else:
            if number or document.member:
                yield part
                size = 0
            title, latin = document.title[:MAX_TITLE], language(document.text)
            part = Part([], "", document.member, title, latin, _json(document.fields))
            of_member = f"{stem} {PurePath(document.member).stem}" if document.member else stem
            names = searched_names(of_member, document)
        place = location(task.path, part.member)
        part.chunks.extend(new_chunks(document, part.title, names, part.language, place))
        part = part._replace(note=document.note or part.note)
        size += len(document.text)
        offset = document.offset + len(document.text.encode("utf-8")) + 2
        line += document.text.count("\n") + 2
        if size >= PART:
            yield part
            part, size = part._replace(chunks=[], note=""), 0
    yield part


def _documents(path: str, file: BinaryIO, reading: Reading) -> Iterator[Document]:
    if not wants_pre(path, reading):
        return documents(file, PurePath(path).name, reading)
    return documents(preprocessed(reading.pre, path, reading.timeout), "text.txt", reading)


def searched_names(stem: str, document: Document) -> str:
    """The names that are indexed with a file's title: its stem, and its author, subject, keywords.

    >>> searched_names("a1", Document("", "Tea", [], fields={"author": "Ada", "keywords": ["hot"]}))
    'a1 Ada hot'
    """
    names = [stem]
    for name in SEARCHED_FIELDS:
        value = document.fields.get(name)
        names += [str(each) for each in (value if isinstance(value, list) else [value]) if each]
    return " ".join(each for each in names if each != document.title)[:MAX_NAMES]


def new_chunks(document: Document, title: str, names: str, latin: str, name: str) -> list[NewChunk]:
    """A document's chunks for the store. title: of the file; names: indexed with the title; latin:
    the language of text in Latin script; name: of the file, which determines the markup."""
    result = []
    heading, own = "", text.joined_terms(f"{title} {names}", latin)
    title_terms = own
    part_json: dict[int, str] = {}  # the fields of the last part
    for piece, part in chunk_parts(document):
        if piece.heading != heading:
            heading = piece.heading
            title_terms = f"{own} {text.joined_terms(heading, latin)}"
        plain = readable(piece.text, name)
        text_hash = unique_hash(title, heading, plain)
        if part in document.part_fields and part not in part_json:
            fields = {**document.fields, **document.part_fields[part]}
            part_json = {part: _json(fields)}
        terms = text.joined_terms(plain, latin)
        own_fields = part_json.get(part, "")
        result.append(new_chunk(piece, terms, title_terms, text_hash, own_fields, part))
    return result


def _json(fields: Mapping[str, object]) -> str:
    return json.dumps(dict(fields), ensure_ascii=False) if fields else ""
