"""Output of `qrank search --queries`: to stdout, or appended to the file of an earlier run."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from qrank import json_form
from qrank.cli.output import json_output
from qrank.errors import InputError
from qrank.files import reason

Write = Callable[[Mapping[str, Any]], None]


def key(fields: Mapping[str, Any]) -> str:
    """The key of a query in a file: its id, else its text."""
    return json.dumps(fields["id"] if "id" in fields else [fields["query"]], sort_keys=True)


@contextmanager
def output(file: Path | None) -> Iterator[tuple[Counter[str], Write]]:
    """(the number of answers by key of the query, a function that writes an answer); file: None is
    stdout.

    An incomplete last line, after a crash, is removed. Raises InputError when the file can't be
    written, or contains anything but answers; it is not changed then.
    """
    if file is None:
        yield Counter(), json_output.line
        return
    try:
        with file.open("a+b") as stream:
            yield _count_answers(stream, file), lambda value: _write(stream, value)
    except OSError as error:
        raise InputError(f"can't write {file}: {reason(error)}") from error


def _count_answers(stream: IO[bytes], file: Path) -> Counter[str]:
    """Count the answers by key, and truncate the file after the last complete one."""
    done: Counter[str] = Counter()
    stream.seek(0)
    whole = 0
    for number, line in enumerate(stream, 1):
        # Only after complete answers: else this may be a file of another kind.
        if not line.endswith(b"\n") and done and line.startswith(b"{"):
            break
        if not _is_answer(line) or not line.endswith(b"\n"):
            raise InputError(
                f"{file}, line {number}: not an answer of qrank search --queries",
                hint="name a file that an earlier run wrote, or a new one",
            )
        done[key(json.loads(line))] += 1
        whole += len(line)
    stream.truncate(whole)
    stream.seek(0, os.SEEK_END)
    return done


def _is_answer(line: bytes) -> bool:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(fields, dict)
        and isinstance(fields.get("query"), str)
        and isinstance(fields.get("results"), list)
        and "schema" in fields
    )


def _write(stream: IO[bytes], value: Mapping[str, Any]) -> None:
    stream.write(json_form.line(value).encode("utf-8", "replace") + b"\n")
    stream.flush()
