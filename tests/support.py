"""Helpers of the tests: paths, runs of the command, and messages of failed runs."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qrank.ingest.extract import documents
from qrank.results import Document

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "sample_corpus"
PARITY = Path(__file__).parent / "parity"
COMMAND = Path(sys.executable).parent / "qrank"


@dataclass(frozen=True)
class Run:
    """What a run of the command gave."""

    args: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        assert self.returncode in (0, 1), self
        return json.loads(self.stdout)

    def lines(self) -> list[Any]:
        assert self.returncode in (0, 1), self
        return [json.loads(line) for line in self.stdout.splitlines()]


def clean_environment(home: Path) -> dict[str, str]:
    """The environment of a user whose home is elsewhere and who has set nothing."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("QRANK_", "XDG_", "CLICOLOR", "NO_COLOR"))
    }
    return {**kept, "HOME": str(home), "TERM": "xterm"}


def complaint(run: Run) -> str:
    """The one line that a failed run says; fails unless that is all it says."""
    assert run.returncode == 2, run
    assert run.stdout == "", run
    lines = run.stderr.splitlines()
    assert len(lines) == 1, run
    assert lines[0].startswith("qrank: "), run
    return lines[0]


def last_complaint(run: Run) -> str:
    """The last line of a failed run, after what it was about to do."""
    assert (run.returncode, run.stdout) == (2, ""), run
    doing = ("qrank: converting", "qrank: downloading ")
    assert all(line.startswith(doing) for line in run.stderr.splitlines()[:-1]), run
    return run.stderr.splitlines()[-1]


def write_safetensors(path: Path, arrays: dict[str, Any], kind: str = "F32") -> None:
    """A safetensors file of float32 arrays, all of it stored as F32 or BF16."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, array in arrays.items():
        bits = array.astype("<f4")
        stored = bits.tobytes()
        if kind == "BF16":
            stored = (bits.view("<u4") >> 16).astype("<u2").tobytes()
        offsets = [len(data), len(data) + len(stored)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        data += stored
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def extract(name: str, data: bytes) -> Document:
    """A small file's one document."""
    [document] = documents(io.BytesIO(data), name)
    return document


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts by their paths below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text, "utf-8")


@contextmanager
def read_only(folder: Path) -> Iterator[list[str]]:
    """A folder and its files made read-only; yields what to put before a command so that it
    keeps to that also when it is run by root."""
    modes = {path: path.stat().st_mode for path in [folder, *folder.iterdir()]}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    powers = "-dac_override,-dac_read_search,-fowner"
    try:
        if os.geteuid() == 0:
            yield ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}"]
        else:
            yield []
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


def wait_until(condition: Callable[[], object], run: subprocess.Popen[Any] | None = None) -> None:
    """Wait for something to become true; fails after two minutes, or when run has ended before."""
    deadline = time.monotonic() + 120
    while not condition():
        assert run is None or run.poll() is None, "it ended before"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def distance(path: Path, cases: list[dict[str, Any]]) -> float:
    """The largest difference of P(relevant) from what the reference answers, several in a pack."""
    from qrank.llama.gguf import read_header
    from qrank.llama.reranker import LlamaReranker
    from qrank.settings import ANYWHERE

    reranker = LlamaReranker(read_header(path), ANYWHERE)
    found = 0.0
    for query in {case["query"] for case in cases}:
        of_query = [case for case in cases if case["query"] == query]
        scores = [s for b in reranker.scores(query, [c["doc"] for c in of_query]) for s in b]
        found = max(found, *(abs(s - c["score"]) for s, c in zip(scores, of_query, strict=True)))
    reranker.close()
    return found
