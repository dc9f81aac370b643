"""Files embedded in Office files: some are part of the text, the others are members."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from qrank.errors import ExtractError
from qrank.ingest.extract import documents
from qrank.ingest.extract.building import Builder, Omissions
from qrank.ingest.extract.members import Members
from qrank.ingest.extract.office.older.compound import MAGIC, Compound, embedded_file, objects
from qrank.ingest.problems import STOPS, problem_of
from qrank.results import Document
from qrank.settings import Reading

MAX_DEPTH = 2  # of files included in the text of files
_depth: ContextVar[int] = ContextVar("depth", default=0)


class Holder(Protocol):
    """A file with embedded files."""

    omissions: Omissions

    @property
    def embedded(self) -> Iterable[str]:
        """The names of the embedded files."""

    def data(self, name: str) -> bytes:
        """The content of an embedded file. Raises ExtractError."""


def members(holder: Holder, reading: Reading) -> Iterator[Document]:
    """Yield the documents of embedded files, then the notes of the file."""
    files = _Files(reading)
    for path in holder.embedded:
        name = posixpath.basename(path)
        try:
            data = holder.data(path)
        except ExtractError as error:
            files.members.add_note(str(error))
            continue
        if data.startswith(MAGIC):
            yield from files.read(embedded_file(data), posixpath.splitext(name)[0])
        else:
            yield from files.members.read(name, io.BytesIO(data))
    yield from files.final_notes(holder.omissions.note())


def members_of(compound: Compound, reading: Reading, note: str = "") -> Iterator[Document]:
    """As members, for an Office file of before 2007; note: on what else was skipped in it."""
    yield from members_in(objects(compound), reading, note)


def members_in(
    objects: Iterable[tuple[str, str, bytes] | None], reading: Reading, note: str = ""
) -> Iterator[Document]:
    """As members, for embedded objects, each in the form of `embedded_file`."""
    files = _Files(reading)
    for file in objects:
        yield from files.read(file, "object")
    yield from files.final_notes(note)


class _Files:
    def __init__(self, reading: Reading) -> None:
        self.members = Members(reading)
        self._others = 0  # objects that are not files: equations, pictures, of other programs

    def read(self, file: tuple[str, str, bytes] | None, stem: str) -> Iterator[Document]:
        """Yield the documents of an object; stem: for the name of an object without one."""
        if file is None:
            self._others += 1
            return
        name, suffix, data = file
        yield from self.members.read(name or stem + suffix, io.BytesIO(data))

    def final_notes(self, note: str) -> Iterator[Document]:
        """Yield the notes of the file."""
        if self._others:
            self.members.add_note(f"{self._others} embedded object{'s' * (self._others > 1)}")
        yield from self.members.final_notes(note)


def include(builder: Builder, omissions: Omissions, data: bytes, name: str) -> None:
    """Add the text of an embedded file to a document; a file that can't be read is noted. name: its
    file name, which determines the format."""
    if _depth.get() >= MAX_DEPTH:
        omissions.add(f"{name} (nested too deeply in other files)")
        return
    try:
        with _deeper():
            for document in documents(io.BytesIO(data), name):
                builder.include(document)
                if document.note:
                    omissions.add(f"of {name}: {document.note}")
    except STOPS:
        raise
    except MemoryError:
        raise
    except Exception as error:  # libraries may raise anything
        omissions.add(f"{name} ({problem_of(error).reason})")


@contextmanager
def _deeper() -> Iterator[None]:
    token = _depth.set(_depth.get() + 1)
    try:
        yield
    finally:
        _depth.reset(token)
