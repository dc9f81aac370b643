"""What a measured speed depends on. This imports nothing of llama.cpp."""

from __future__ import annotations

import platform
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from qrank.processors import usable_processors


@cache
def machine() -> str:
    """Identifies what measured speeds are valid for: this machine's processors and its build of
    llama.cpp (by the files of the library)."""
    import hashlib  # takes 3 ms

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
