"""What an index run would make of files, without an index: their chunks, or why there are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qrank.errors import ExtractError
from qrank.indexing.index import existing
from qrank.ingest.chunk import estimated_tokens
from qrank.ingest.prepare import Task
from qrank.ingest.problems import problem_of
from qrank.ingest.readers import Outcome, read_all
from qrank.ingest.secrets import reason
from qrank.ingest.walk import secret, too_large, walk
from qrank.results import Chunk, FileProblem
from qrank.settings import Reading, Walking


@dataclass(slots=True)
class FilePlan:
    """A file with its chunks, or with the reason why it would be left out; note: what of it would
    be passed over, and why; secret: the reason is that it holds keys or passwords."""

    path: str
    title: str = ""
    chunks: list[Chunk] = field(default_factory=list)
    reason: str = ""
    note: str = ""
    secret: bool = False

    def tokens(self, chunk: Chunk) -> int:
        """About how many tokens a chunk is, whatever the model."""
        return estimated_tokens(chunk.text)


def plan(paths: Sequence[Path], walking: Walking, reading: Reading) -> Iterator[FilePlan]:
    """Yield what each file under paths would become. Raises InputError for a missing path."""
    roots = existing(paths, walking)
    unread: list[FileProblem] = []

    def tasks() -> Iterator[Task]:
        for found in walk(roots, walking, unread.append):
            if what := secret(found, walking):
                unread.append(FileProblem(found.path, reason(what), secret=True))
            elif large := too_large(found, walking):
                unread.append(FileProblem(found.path, large))
            else:
                yield Task(*found, secret=walking.include_secrets)

    for outcome in read_all(tasks(), reading):
        yield planned(outcome)
    for problem in unread:
        yield FilePlan(problem.path, reason=problem.reason, secret=problem.secret)


def planned(outcome: Outcome) -> FilePlan:
    """What a file that was read becomes, read to its end."""
    made = FilePlan(outcome.task.path)
    if outcome.problem or not outcome.prepared:
        made.reason = outcome.problem.reason if outcome.problem else ""
        if outcome.problem and outcome.problem.kind == "secret":
            made.secret, made.reason = True, reason(made.reason)
        return made
    made.title = outcome.prepared.title
    try:
        made.note = outcome.prepared.note
        made.chunks = [new.chunk for new in outcome.prepared.chunks]
        for part in outcome.rest:
            made.chunks += [new.chunk for new in part.chunks]
            made.note = part.note or made.note
    except (ExtractError, OSError) as error:
        made.chunks, made.reason = [], problem_of(error).reason
    return made
