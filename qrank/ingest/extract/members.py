"""Reading members, the files within a file (of an archive, attachments), each as its own format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import BinaryIO

from qrank.errors import ExtractError
from qrank.ingest import secrets
from qrank.ingest.extract import documents
from qrank.ingest.extract.building import one_line
from qrank.ingest.problems import STOPS, problem_of
from qrank.results import IN_ARCHIVE, Document
from qrank.settings import Reading

MAX_DEPTH = 3  # of nested files
MAX_TEXT = 64 << 20  # characters of all members of a file
MAX_NAME = 500  # characters of a member's path
NAMED = 3  # members listed in a note for each reason
_depth = 0  # of the current file


class Members:
    """Reads the members of one file, and collects which were skipped, and why."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._names: set[str] = set()
        self._reasons: dict[str, list[str]] = {}
        self._notes: list[str] = []
        self._size = 0
        self.read_any = False
        self.last = ""  # the path of the last member that was read

    def read(self, name: str, file: BinaryIO) -> Iterator[Document]:
        """Yield the documents of a member. One that can't be read is skipped, with a note."""
        global _depth
        try:
            self._check(name, file)
        except ExtractError as error:
            self.skip(name, str(error))
            return
        path = self._own_name(name)
        _depth += 1
        try:
            for document in documents(file, PurePath(name).name, self._reading):
                self._size += len(document.text)
                if self._size > MAX_TEXT:
                    self.skip(name, f"more than {MAX_TEXT >> 20} million characters in all")
                    return
                if document.note and (not self._notes or self._notes[-1][: len(path)] != path):
                    self._notes.append(f"{path}: {document.note}")
                self.last = inner = (
                    f"{path}{IN_ARCHIVE}{document.member}" if document.member else path
                )
                self.read_any = self.read_any or bool(document.blocks)
                yield document._replace(member=inner, note="")
        except STOPS:
            raise
        except BaseException as error:  # libraries may raise anything
            self.skip(name, problem_of(error).reason)
        finally:
            _depth -= 1

    def skip(self, name: str, reason: str) -> None:
        """Add the reason why a member is skipped."""
        self._reasons.setdefault(reason, []).append(one_line(name)[:MAX_NAME])

    def add_note(self, note: str) -> None:
        """Add a note on the file as a whole."""
        self._notes.append(note)

    @property
    def note(self) -> str:
        """What was skipped in the file, and why; empty when nothing was."""
        notes = []
        for reason, names in self._reasons.items():
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            notes.append(f"{', '.join(names[:NAMED])}{more}: {reason}")
        return "; ".join(notes + self._notes)

    def final_notes(self, note: str = "") -> Iterator[Document]:
        """Yield an empty document with the file's own note and those of its members; nothing when
        members have none."""
        if notes := self.note:
            note = "; ".join(filter(None, (note, notes)))
            yield Document("", "", [], note=note, member=self.last)

    def _check(self, name: str, file: BinaryIO) -> None:
        if _depth >= MAX_DEPTH:
            raise ExtractError(f"more than {MAX_DEPTH} files deep")
        if not self._reading.include_secrets:
            head = file.read(secrets.HEAD)
            file.seek(0)
            if kind := secrets.kind_by_name(name) or secrets.kind_by_content(head):
                raise ExtractError(secrets.reason(kind))

    def _own_name(self, name: str) -> str:
        """A unique path for a member: with a number, if there is another of its name."""
        path = plain = one_line(name)[:MAX_NAME]
        number = 1
        while path in self._names:
            number += 1
            path = f"{plain} ({number})"
        self._names.add(path)
        return path
