"""One file -> what the index is to hold of it: chunks with their terms, a part at a time.

Runs in the main process for plain text, in a worker for everything else.
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
from qrank.terms import new_chunk

IN_MEMORY = 4 << 20  # bytes; a longer file is read twice: to hash it, then to extract it
PART = 1 << 20  # characters of text handed on at once
MAX_TITLE = 1000  # characters; models are given it with each chunk
OF_OCR = ".ocr-"  # in what a file was made by whose pictures were read; the languages follow
OF_ARCHIVE = ".archive"  # in what an archive was made by that was looked into
MAX_NAMES = 4000  # characters of what is searched as the title is
# The fields of a document by which it is found as by its title.
SEARCHED_FIELDS = ("author", "subject", "keywords")

NO_SIGNATURE = Signature(0, 0)


class Part(NamedTuple):
    """Some chunks of a document: of the file itself, or of the file in it at the path member. Its
    title, its language (of what is in Latin script) and its fields as JSON are in each part of it;
    note: what of the file up to here was skipped, and why."""

    chunks: list[NewChunk]
    note: str = ""
    member: str = ""
    title: str = ""
    language: str = ENGLISH
    fields: str = ""


@dataclass(slots=True)
class Outcome:
    """What came of a file: the problem that it has, or what was read of it.

    first: its first part, which is all of it when it is complete; else rest has the others, to be
    gone through once; that raises ExtractError or OSError when the file can't be read to its end.
    """

    task: Task
    problem: Problem | None = None
    signature: Signature = NO_SIGNATURE  # as it was when it was read
    content_hash: bytes = b""
    first: Part = field(default_factory=lambda: Part([]))
    rest: Iterator[Part] = field(default_factory=lambda: iter(()))
    complete: bool = True
    unchanged: bool = False
    secret: bool = False  # it holds a key
    note: str = ""  # what was skipped, of the parts that were written

    def parts(self) -> Iterator[Part]:
        """All parts, to be gone through once."""
        yield self.first
        yield from self.rest


def needs_worker(path: str, reading: Reading) -> bool:
    """Whether a file is to be read in a worker process."""

    def head() -> bytes:
        try:
            with open_regular(path) as file:
                return file.read(HEAD)
        except (OSError, ExtractError):  # whoever reads it will say what is wrong
            return b""

    if wants_pre(path, reading):
        return True
    if reading.ocr and is_picture(path):
        return True
    if is_archive(path) and not reading.archives:
        return False  # it is not even opened
    return is_isolated(path, head)


def wants_pre(path: str, reading: Reading) -> bool:
    """Whether a file goes through the user's own command."""
    if not reading.pre:
        return False
    name = PurePath(path).name
    return not reading.pre_globs or any(
        fnmatch(path if "/" in glob else name, glob) for glob in reading.pre_globs
    )


def made_by(path: str, reading: Reading) -> str:
    """Stands for what the user's options change of a file's text; empty for the defaults."""
    options = ""
    if wants_pre(path, reading):
        options = repr(reading.pre)
    elif reading.fields and takes_fields(path):
        options = repr(reading.fields)
    made = "." + hashlib.blake2b(options.encode(), digest_size=4).hexdigest() if options else ""
    made += OF_ARCHIVE * (reading.archives and is_archive(path))
    may_hold = reading.archives if is_archive(path) else may_hold_files(path) or is_picture(path)
    return f"{made}{OF_OCR}{reading.ocr}" if reading.ocr and may_hold else made


def as_before(reading: Reading, made: str) -> Reading:
    """How to read a file that was made so: what was asked for once (an archive, OCR) stays in the
    index, and up to date, also when a later run does not ask for it."""
    if OF_ARCHIVE in made and not reading.archives:
        reading = replace(reading, archives=True)
    if OF_OCR in made and not reading.ocr:
        reading = replace(reading, ocr=made.rpartition(OF_OCR)[2].partition(".")[0])
    return reading


def prepare(task: Task, reading: Reading) -> Iterator[Outcome | Part]:
    """Yield what came of a file, then what does not fit in its first part.

    Raises ExtractError, NoTextError, SecretError, or OSError when it can't be read or changes
    meanwhile.
    """
    reading = task.reading or reading
    with open_regular(task.path) as file:
        signature = Signature.of(os.fstat(file.fileno()))
        source: BinaryIO = file
        if signature.size <= IN_MEMORY:
            data = file.read()
            digest = data_hash(data)
            source = io.BytesIO(data)
            what = secrets.begins_so(data)
        else:
            digest = file_hash(file)
            file.seek(0)
            what = secrets.begins_so(file.read(secrets.HEAD))
            file.seek(0)
        if what and not task.secret:
            raise SecretError(what)
        done = Outcome(task, None, signature, digest, secret=bool(what))
        if digest == task.known_hash:
            done.unchanged = True
            yield done
            return
        parts = _parts(task, source, reading)
        done.first = next(parts)
        for part in parts:
            if done.complete:  # there is more than the first part
                done.complete = False
                yield done
            yield part
        if Signature.of(os.fstat(file.fileno())) != signature:
            raise OSError(errno.EBUSY, "it changed while being read")
        if done.complete:
            yield done


def _parts(task: Task, file: BinaryIO, reading: Reading) -> Iterator[Part]:
    """The chunks in parts, one at least. Those of members follow the file's own."""
    stem = PurePath(task.path).stem
    part = Part([])  # what is being filled
    names = stem
    size = 0
    offset = line = 0  # of the text extracted so far
    for number, document in enumerate(_documents(task.path, file, reading)):
        if number and document.member == part.member:
            if not document.offset:  # extracted text: what is in the file follows what was
                document = document._replace(offset=offset, line=0 if document.lines else line)
        else:
            if number or document.member:
                yield part
                size = 0
            title, spoken = document.title[:MAX_TITLE], language(document.text)
            part = Part([], "", document.member, title, spoken, _json(document.fields))
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
    """What a file is found by as by its title: its name, and the fields that say what it is.

    >>> searched_names("a1", Document("", "Tea", [], fields={"author": "Ada", "keywords": ["hot"]}))
    'a1 Ada hot'
    """
    names = [stem]
    for name in SEARCHED_FIELDS:
        value = document.fields.get(name)
        names += [str(each) for each in (value if isinstance(value, list) else [value]) if each]
    return " ".join(each for each in names if each != document.title)[:MAX_NAMES]


def new_chunks(
    document: Document, title: str, names: str, spoken: str, name: str
) -> list[NewChunk]:
    """A document's chunks as the store takes them. title: that of the file, which all its documents
    share; names: what is searched as the title is; spoken: its language in Latin script;
    name: the file's, which tells its markup."""
    made = []
    heading, own = "", text.joined_terms(f"{title} {names}", spoken)
    title_terms = own
    written: dict[int, str] = {}  # the fields of the last part
    for piece, part in chunk_parts(document):
        if piece.heading != heading:
            heading = piece.heading
            title_terms = f"{own} {text.joined_terms(heading, spoken)}"
        read = readable(piece.text, name)
        hashed = unique_hash(title, heading, read)
        if part in document.part_fields and part not in written:
            fields = {**document.fields, **document.part_fields[part]}
            written = {part: _json(fields)}
        terms = text.joined_terms(read, spoken)
        made.append(new_chunk(piece, terms, title_terms, hashed, written.get(part, ""), part))
    return made


def _json(fields: Mapping[str, object]) -> str:
    return json.dumps(dict(fields), ensure_ascii=False) if fields else ""
