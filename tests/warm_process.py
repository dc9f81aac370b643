"""A warm process for tests: qrank serve in the foreground, stopped at the end."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support import COMMAND, wait_until

import qrank


def tide_index(folder: Path) -> Path:
    """An index of one small file, tide.md in a folder."""
    (folder / "tide.md").write_text("# Tide\n\nThe tide comes in twice a day.\n")
    with qrank.Index(folder / "i.db") as index:
        index.add(folder / "tide.md")
    return folder / "i.db"


def status(environment: dict[str, str]) -> Any:
    """What `qrank serve status --json` says."""
    run = subprocess.run(
        [COMMAND, "serve", "status", "--json"],
        env=environment,
        capture_output=True,
        timeout=120,
        check=False,
    )
    told = json.loads(run.stdout)
    assert run.returncode == (0 if told["running"] else 1), run
    return told


@contextmanager
def warm_process(
    environment: dict[str, str],
    *options: str,
    log: Path | None = None,
    before: Callable[[], None] | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Yields it when it answers. before: what its process does first; prefix: of its command."""
    with Path(log or os.devnull).open("ab") as stream:
        process = subprocess.Popen(
            [*prefix, COMMAND, "serve", "--foreground", *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            preexec_fn=before,
        )
    try:
        wait_until(lambda: status(environment).get("pid") == process.pid, process)
        yield process
    finally:
        process.terminate()
        process.wait(60)
