"""The beginnings of files as text, for models that read no more of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from qrank.indexing.plan import FilePlan, planned
from qrank.ingest.content import open_regular
from qrank.ingest.decode import decode, whole_lines
from qrank.ingest.extract import is_text
from qrank.ingest.problems import STOPS, problem_of
from qrank.ingest.readers import read_all
from qrank.results import Signature, Task
from qrank.settings import Reading

LENGTH = 1 << 16  # bytes, or characters of extracted text; no model reads more


class Prefix(NamedTuple):
    """The text of the first LENGTH of a file, or the reason why there is none."""

    text: str = ""
    reason: str = ""


def prefixes(paths: Sequence[str]) -> list[Prefix]:
    """The beginning of each file: of a text file its content, of others their extracted text."""
    files = [_prefix_or_task(path) for path in paths]
    extracted = map(planned, read_all([f for f in files if isinstance(f, Task)], Reading()))
    return [_of_plans(next(extracted)) if isinstance(each, Task) else each for each in files]


def _prefix_or_task(path: str) -> Prefix | Task:
    """The beginning of a text file; a task for a file that must be extracted."""
    try:
        with open_regular(path) as file:
            data = file.read(LENGTH)
            info = os.fstat(file.fileno())
        if not is_text(os.path.basename(path), data):  # noqa: PTH119
            return Task(path, Signature.of(info), secret=True)
        return Prefix(decode(whole_lines(data) if len(data) == LENGTH else data)[0])
    except STOPS:
        raise
    except BaseException as error:
        return Prefix(reason=problem_of(error).reason)


def _of_plans(plans: Sequence[FilePlan]) -> Prefix:
    """The beginning of the extracted text of a file and its members."""
    text = "\n\n".join(chunk.text for plan in plans for chunk in plan.chunks)[:LENGTH]
    return Prefix(text, plans[0].reason or ("" if text else "no text"))
