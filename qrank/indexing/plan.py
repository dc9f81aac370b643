"""A dry run of indexing: the chunks of files, or why there are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qrank.errors import ExtractError
from qrank.indexing.index import existing
from qrank.ingest.chunk import estimated_tokens
from qrank.ingest.extract import ocr
from qrank.ingest.prepare import Outcome
from qrank.ingest.problems import problem_of
from qrank.ingest.readers import read_all
from qrank.ingest.secrets import reason
from qrank.ingest.walk import UNREAD, Skipped, secret, too_large, walk
from qrank.results import Chunk, Task, location
from qrank.settings import Reading, Walking


@dataclass(slots=True)
class FilePlan:
    """A file with its chunks, or with the reason why it would be skipped. note: which part of it
    would be skipped, and why; secret: whether the reason is that it contains keys or passwords."""

    path: str
    title: str = ""
    chunks: list[Chunk] = field(default_factory=list)
    reason: str = ""
    note: str = ""
    secret: bool = False
    member: str = ""  # the path of a file within the file at path

    @property
    def location(self) -> str:
        """The file's path, followed by a member's."""
        return location(self.path, self.member)

    def tokens(self, chunk: Chunk) -> int:
        """About how many tokens a chunk has; models differ."""
        return estimated_tokens(chunk.text)


def plan(paths: Sequence[Path], walking: Walking, reading: Reading) -> Iterator[FilePlan]:
    """Yield the plan of each file under paths. Raises InputError for a missing path."""
    roots = existing(paths, walking)
    if reading.ocr:
        ocr.checked(reading.ocr)
    errors: list[FilePlan] = []

    def on_skipped(skipped: Skipped) -> None:
        if skipped.kind in (UNREAD, "worktree"):
            errors.append(FilePlan(skipped.path, reason=skipped.reason))

    def tasks() -> Iterator[Task]:
        for file in walk(roots, walking, on_skipped):
            if kind := secret(file, walking):
                errors.append(FilePlan(file.path, reason=reason(kind), secret=True))
            elif large := too_large(file, walking):
                errors.append(FilePlan(file.path, reason=large))
            else:
                yield file._replace(secret=walking.include_secrets)

    for outcome in read_all(tasks(), reading):
        yield from planned(outcome)
    yield from errors


def planned(outcome: Outcome) -> list[FilePlan]:
    """The plan of a file that was read, followed by those of its members."""
    own = FilePlan(outcome.task.path)
    if outcome.problem:
        own.reason = outcome.problem.reason
        if outcome.problem.kind == "secret":
            own.secret, own.reason = True, reason(own.reason)
        return [own]
    own.title = outcome.first.title
    plans = {"": own}  # by member
    try:
        for part in outcome.parts():
            plan = own
            if part.member:
                plan = plans.setdefault(
                    part.member, FilePlan(own.path, part.title, member=part.member)
                )
            plan.chunks += [new.chunk for new in part.chunks]
            own.note = part.note or own.note
    except (ExtractError, OSError) as error:
        return [FilePlan(own.path, own.title, reason=problem_of(error).reason)]
    return [
        plan
        for plan in plans.values()
        if plan is not own or own.chunks or own.note or len(plans) == 1
    ]
