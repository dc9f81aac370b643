"""How files begin, as text, for a model that reads no more of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from qrank.errors import ExtractError
from qrank.ingest.content import open_regular
from qrank.ingest.decode import decode
from qrank.ingest.extract import is_text
from qrank.ingest.prepare import Task
from qrank.ingest.readers import read_all
from qrank.names import disk_path
from qrank.pipeline.plan import planned
from qrank.settings import Reading

LENGTH = 1 << 16  # bytes, or characters of what is extracted; no model reads more


class Beginning(NamedTuple):
    """The first LENGTH of a file, or the reason why it has none."""

    text: str = ""
    reason: str = ""


def beginnings(paths: Sequence[str]) -> list[Beginning]:
    """How each file begins: a text file as it is, any other with what is extracted of it."""
    found = [_as_it_is(path) for path in paths]
    tasks = [_task(path) for path, known in zip(paths, found, strict=True) if known is None]
    extracted = map(planned, read_all(tasks, Reading()))
    made = []
    for known in found:
        if known is None:
            plan = next(extracted)
            text = "\n\n".join(chunk.text for chunk in plan.chunks)[:LENGTH]
            known = Beginning(text, plan.reason or ("" if text else "no text in it"))
        made.append(known)
    return made


def _as_it_is(path: str) -> Beginning | None:
    """The beginning of a text file; None for one that has to be extracted."""
    try:
        with open_regular(path) as file:
            data = file.read(LENGTH)
        return Beginning(decode(data)[0]) if is_text(os.path.basename(path), data) else None  # noqa: PTH119
    except ExtractError as error:
        return Beginning(reason=str(error))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        return Beginning(reason=(getattr(error, "strerror", None) or str(error)).lower())


def _task(path: str) -> Task:
    info = os.stat(disk_path(path))  # noqa: PTH116
    return Task(path, info.st_size, info.st_mtime_ns)
