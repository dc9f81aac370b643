"""Files within a file (an archive's, a PDF's attachments): each is read as what it is."""

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

MAX_DEPTH = 3  # of files within files
MAX_TEXT = 64 << 20  # characters of all members of a file
MAX_NAME = 500  # characters of a member's path
NAMED = 3  # members that are named for each reason
_depth = 0  # of the file that is being read now


class Members:
    """Reads the files in one file, and keeps count of what was skipped, and why."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._names: set[str] = set()
        self._reasons: dict[str, list[str]] = {}
        self._notes: list[str] = []
        self._size = 0
        self.read_any = False
        self.last = ""  # the path of the last that was read

    def read(self, name: str, file: BinaryIO) -> Iterator[Document]:
        """Yield what is in a member. What can't be read is noted, and costs nothing else."""
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
        except BaseException as error:  # a reader may raise anything
            self.skip(name, problem_of(error).reason)
        finally:
            _depth -= 1

    def skip(self, name: str, reason: str) -> None:
        """Note that a member is skipped."""
        self._reasons.setdefault(reason, []).append(one_line(name)[:MAX_NAME])

    def say(self, what: str) -> None:
        """Note something of the file as a whole."""
        self._notes.append(what)

    @property
    def note(self) -> str:
        """What was skipped of the file, and why; empty when nothing was."""
        notes = []
        for reason, names in self._reasons.items():
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            notes.append(f"{', '.join(names[:NAMED])}{more}: {reason}")
        return "; ".join(notes + self._notes)

    def closing(self, note: str = "") -> Iterator[Document]:
        """The notes at the end of a file: note, of the file itself, and what was skipped."""
        if notes := self.note:
            note = "; ".join(filter(None, (note, notes)))
            yield Document("", "", [], note=note, member=self.last)

    def _check(self, name: str, file: BinaryIO) -> None:
        if _depth >= MAX_DEPTH:
            raise ExtractError(f"more than {MAX_DEPTH} files deep")
        if not self._reading.include_secrets:
            head = file.read(secrets.HEAD)
            file.seek(0)
            if what := secrets.kind_by_name(name) or secrets.kind_by_content(head):
                raise ExtractError(secrets.reason(what))

    def _own_name(self, name: str) -> str:
        """The member's path, unlike those of the others."""
        path = plain = one_line(name)[:MAX_NAME]
        number = 1
        while path in self._names:
            number += 1
            path = f"{plain} ({number})"
        self._names.add(path)
        return path
