"""Processes that find their modules compiled, as pip leaves them, whatever the user's setting."""

from __future__ import annotations

import os
from pathlib import Path


def keep_compiled(folder: Path) -> None:
    """From now on processes keep compiled modules in folder: the first one that needs them makes
    them, so that it is not one to be timed."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
