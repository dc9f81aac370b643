"""Computing power: how much there is, what its speed depends on, and how much models have used."""

from __future__ import annotations

import os
import threading
from functools import cache
from pathlib import Path


def usable_processors() -> int:
    """How many processors this process may use; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def machine() -> str:
    """What measured speeds hold for: this machine's processors, and its build of llama.cpp, which
    the files of the library tell. Nothing is loaded for it."""
    import hashlib
    import platform
    from importlib.util import find_spec

    spec = find_spec("llama_cpp")
    library = Path(spec.origin).parent / "lib" if spec and spec.origin else Path()
    files = ((path.name, path.stat()) for path in library.glob("*"))
    parts = (
        _processor() or platform.node(),
        platform.machine(),
        str(usable_processors()),
        *sorted(f"{name} {info.st_size} {info.st_mtime_ns}" for name, info in files),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _processor() -> str:
    """What the processor calls itself, where Linux says so."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            lines = file.read(2000).splitlines()  # of the first one
    except OSError:
        return ""
    told = ("model name", "CPU implementer", "CPU part")
    return " ".join(line.partition(":")[2].strip() for line in lines if line.startswith(told))


class _Read(threading.local):
    tokens = 0


_read = _Read()


def count_tokens(tokens: int) -> None:
    """Count tokens that a model has just read for this thread."""
    _read.tokens += tokens


def tokens_read() -> int:
    """How many tokens models have read for this thread since it began."""
    return _read.tokens
