"""Files in Office files: some are a part of the text, the others are members."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from qrank.errors import ExtractError
from qrank.ingest.extract import documents
from qrank.ingest.extract.building import Builder, Missed
from qrank.ingest.extract.members import Members
from qrank.ingest.extract.office.older.compound import MAGIC, Compound, embedded_file, objects
from qrank.ingest.problems import STOPS, problem_of
from qrank.results import Document
from qrank.settings import Reading

MAX_DEPTH = 2  # files in files in files
_depth: ContextVar[int] = ContextVar("depth", default=0)


class Holder(Protocol):
    """A file that holds others."""

    missed: Missed

    @property
    def embedded(self) -> Iterable[str]:
        """Their names."""

    def data(self, name: str) -> bytes:
        """What one of them holds. Raises ExtractError."""


def members(holder: Holder, reading: Reading) -> Iterator[Document]:
    """Yield what is in the files that lie in a file, then what of all was passed over."""
    files = _Files(reading)
    for place in holder.embedded:
        name = posixpath.basename(place)
        try:
            data = holder.data(place)
        except ExtractError as error:
            files.members.add_note(str(error))
            continue
        if data.startswith(MAGIC):
            yield from files.inside(embedded_file(data), posixpath.splitext(name)[0])
        else:
            yield from files.members.read(name, io.BytesIO(data))
    yield from files.closing(holder.missed.note())


def members_of(opened: Compound, reading: Reading, note: str = "") -> Iterator[Document]:
    """The same of a document or workbook of before 2007; note: what else was passed over of it."""
    yield from members_in(objects(opened), reading, note)


def members_in(
    files_found: Iterable[tuple[str, str, bytes] | None], reading: Reading, note: str = ""
) -> Iterator[Document]:
    """The same of objects, each as `embedded_file` has it."""
    files = _Files(reading)
    for file in files_found:
        yield from files.inside(file, "object")
    yield from files.closing(note)


class _Files:
    def __init__(self, reading: Reading) -> None:
        self.members = Members(reading)
        self._others = 0  # an equation, a picture, something of another program

    def inside(self, file: tuple[str, str, bytes] | None, stem: str) -> Iterator[Document]:
        """Read what is in an object. stem: what it is called where it has no name."""
        if file is None:
            self._others += 1
            return
        name, suffix, data = file
        yield from self.members.read(name or stem + suffix, io.BytesIO(data))

    def closing(self, note: str) -> Iterator[Document]:
        """The note at the end of the file."""
        if self._others:
            self.members.add_note(f"{self._others} embedded object{'s' * (self._others > 1)}")
        yield from self.members.final_notes(note)


def include(builder: Builder, missed: Missed, data: bytes, name: str) -> None:
    """Add the text of a file that stands for a part of a document; what can't be read is noted.

    name: what its format shows by.
    """
    if _depth.get() >= MAX_DEPTH:
        missed.add(f"{name} (too deep within other files)")
        return
    try:
        with _deeper():
            for document in documents(io.BytesIO(data), name):
                builder.include(document)
                if document.note:
                    missed.add(f"of {name}: {document.note}")
    except STOPS:
        raise
    except MemoryError:
        raise
    except Exception as error:  # its reader may raise anything
        missed.add(f"{name} ({problem_of(error).reason})")


@contextmanager
def _deeper() -> Iterator[None]:
    token = _depth.set(_depth.get() + 1)
    try:
        yield
    finally:
        _depth.reset(token)
