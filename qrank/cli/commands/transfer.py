"""qrank export and qrank import."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated

import typer

from qrank import files, json_form
from qrank.cli.state import current
from qrank.errors import InputError
from qrank.names import move_of

HEADER = 1 << 20  # bytes of the first line: a file of another kind may be a single line

STDIO = Path("-")
LONGEST_LINE = 16 << 20  # bytes, of an import: one of 4096 dims for each of ten models has 400 kB
STDOUT = Path("/dev/stdout")  # treated as -: if stdout is a file, opening this truncates it


def export(
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="The file to write; - is stdout.")
    ] = STDIO,
    collection: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this collection (may be repeated)."),
    ] = None,
    path: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Only files whose path matches.")
    ] = None,
    vectors: Annotated[
        bool, typer.Option("--vectors/--no-vectors", help="Whether to include vectors.")
    ] = True,
) -> None:
    """Write the index as JSON Lines, with its vectors.

    qrank import adds it to another index without embedding the texts again.
    """
    from qrank.cli.output import json_output

    with current().open_index() as index:
        lines = index.export(collections=collection or (), path=path, vectors=vectors)
        if file in (STDIO, STDOUT):
            for line in lines:
                json_output.line(line)
            return
        try:
            with (
                files.replacing(file) as place,
                place.open("w", encoding="utf-8", errors="replace") as stream,
            ):
                for line in lines:
                    stream.write(json_form.line(line) + "\n")
        except BrokenPipeError:  # the reader of a FIFO has exited, as may that of stdout
            return
        except OSError as error:
            raise InputError(f"can't write {file}: {files.reason(error)}") from error


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file from qrank export; - is stdin.")
    ],
    moved: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="OLD=NEW",
            help="Replace the folder OLD with NEW in paths (may be repeated).",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Add the output of qrank export to the index.

    Documents that the index has already are replaced.
    """
    from qrank.cli.output import json_output, render

    places = dict(_moved(each) for each in moved or ())
    with current().open_index() as index:
        if file == STDIO:
            lines = _lines(sys.stdin.buffer)
            documents, vectors = index.import_lines(lines, "stdin", moved=places)
        else:
            with _opened(file) as stream:
                documents, vectors = index.import_lines(_lines(stream), str(file), moved=places)
    if as_json:
        json_output.document(json_form.imported(documents, vectors))
    else:
        render.report(f"{documents} documents and {vectors} vectors imported")


def _moved(text: str) -> tuple[str, str]:
    """Parse OLD=NEW into stored paths: the folder in the export, and the one here."""
    try:
        return move_of(text)
    except ValueError as error:
        raise InputError(f"--map {error}") from error


def _opened(file: Path) -> IO[bytes]:
    try:
        return file.open("rb")
    except OSError as error:
        raise InputError(f"can't read {file}: {files.reason(error)}") from error


def _lines(stream: IO[bytes]) -> Iterator[str]:
    longest, encoding = HEADER, "utf-8-sig"  # the first line may begin with a byte order mark
    while data := stream.readline(longest + 1):
        if len(data) > longest:
            raise ValueError(f"it has more than {longest >> 20} MiB")
        yield data.decode(encoding, "replace")
        longest, encoding = LONGEST_LINE, "utf-8"
