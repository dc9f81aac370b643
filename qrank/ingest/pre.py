"""A user's own command that turns a file into text (ripgrep's --pre)."""

from __future__ import annotations

import subprocess
import tempfile
from typing import BinaryIO

from qrank.errors import ExtractError
from qrank.names import disk_path

MAX_OUTPUT = 64 << 20


def preprocessed(command: tuple[str, ...], path: str, timeout: float) -> BinaryIO:
    """What the command, given the path, and the file on stdin, writes to stdout.

    It is run without a shell. Raises ExtractError when it is missing, fails, writes too much or
    takes longer than timeout seconds.
    """
    disk = disk_path(path)
    out = tempfile.TemporaryFile()  # noqa: SIM115  (the caller reads it)
    with tempfile.TemporaryFile() as said:
        try:
            with open(disk, "rb") as content:  # noqa: PTH123
                run = subprocess.run(
                    [*command, disk],
                    stdin=content,
                    stdout=out,
                    stderr=said,
                    timeout=timeout,
                    check=False,
                )
        except FileNotFoundError as error:
            raise ExtractError(f"there is no command {command[0]}") from error
        except OSError as error:
            raise ExtractError(f"can't run {command[0]}: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise ExtractError(f"{command[0]} took longer than {timeout:g} s") from error
        if run.returncode:
            said.seek(0)
            lines = said.read(4096).decode("utf-8", "replace").split("\n")
            why = next((line.strip() for line in lines if line.strip()), "")
            raise ExtractError(
                f"{command[0]} ended with status {run.returncode}" + (f": {why}" if why else "")
            )
    if out.tell() > MAX_OUTPUT:
        raise ExtractError(f"{command[0]} wrote more than {MAX_OUTPUT >> 20} MiB")
    out.seek(0)
    return out
