"""Compiled modules (.pyc) for the processes that a benchmark times, as pip installs them."""

from __future__ import annotations

import os
from pathlib import Path


def keep_compiled(folder: Path) -> None:
    """Let processes started from now on write compiled modules to folder, whatever
    PYTHONDONTWRITEBYTECODE says. The first process compiles them: don't time that one."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
