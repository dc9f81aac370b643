"""qrank export and qrank import."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Annotated

import typer

from qrank.cli.options import common
from qrank.errors import InputError

STDIO = Path("-")
LONGEST_LINE = 16 << 20  # bytes, of an import: one of 4096 dims for each of ten models has 400 kB


def export(
    file: Annotated[Path, typer.Argument(help="Where to; - is stdout.")] = STDIO,
    collection: Annotated[
        list[str] | None, typer.Option(help="Only this collection (may be repeated).")
    ] = None,
    path: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Only files whose path matches.")
    ] = None,
    vectors: Annotated[
        bool, typer.Option("--vectors/--no-vectors", help="Whether to write vectors, too.")
    ] = True,
) -> None:
    """Write the index as JSON Lines: models, documents, chunks and their vectors.

    qrank import takes it into another index without embedding again.
    """
    from qrank.cli import emit

    with common.open_index() as index:
        lines = index.export(collections=collection or (), path=path, vectors=vectors)
        if file == STDIO:
            for line in lines:
                emit.line(line)
            return
        part = file.with_name(f"{file.name}.part")
        try:
            with part.open("w", encoding="utf-8", errors="replace") as stream:
                for line in lines:
                    stream.write(emit.as_json(line) + "\n")
            os.replace(part, file)  # noqa: PTH105  (whole or not at all)
        except OSError as error:
            raise InputError(
                f"can't write {file}: {(error.strerror or str(error)).lower()}"
            ) from error
        finally:
            with suppress(OSError):
                part.unlink()


def import_(
    file: Annotated[Path, typer.Argument(help="What qrank export wrote; - is stdin.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Take an export into the index; documents that are in it already are replaced."""
    from qrank.cli import emit

    with common.open_index() as index:
        if file == STDIO:
            files, vectors = index.import_lines(_lines(sys.stdin.buffer), "stdin")
        else:
            try:
                with file.open("rb") as stream:
                    files, vectors = index.import_lines(_lines(stream), str(file))
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise InputError(f"can't read {file}: {reason}") from error
    if as_json:
        emit.document({"schema": emit.SCHEMA, "documents": files, "vectors": vectors})
    else:
        print(f"{files} documents with {vectors} vectors taken in")


def _lines(stream: IO[bytes]) -> Iterator[str]:
    while data := stream.readline(LONGEST_LINE + 1):
        if len(data) > LONGEST_LINE:
            raise ValueError(f"it has more than {LONGEST_LINE >> 20} MiB")
        yield data.decode("utf-8", "replace")
