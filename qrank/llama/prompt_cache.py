"""What all prompts of a model begin with, computed once and kept in a file.

64 tokens of a reranker's prompt are the same for every query. Computing them takes Qwen3's 0.6B
shape half a second or more on two cores, reading its cells (114 kB a token) a few milliseconds.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from qrank import files
from qrank.llama.binding import llama, system_info
from qrank.llama.devices import library
from qrank.llama.engine import Model

MOST_FILES = 4  # 4 to 10 MB each
_DIGEST = 16  # bytes of a checksum before the cells


class Opening:
    """The first tokens of a model's prompts; a file has their cells once they were computed."""

    def __init__(self, model: Model, tokens: Sequence[int]) -> None:
        self.tokens = tuple(tokens)
        self._model = model

    @property
    def path(self) -> Path:
        """Its file, by all that the cells depend on. Raises OSError when the model's is gone."""
        from platformdirs import user_cache_path

        held = self._model.file.path.stat()
        file = (self._model.file.path.resolve(), held.st_size, held.st_mtime_ns, held.st_ctime_ns)
        told = (library(), system_info(), file, self.tokens)
        name = hashlib.blake2b(repr(told).encode("utf-8", "replace"), digest_size=16).hexdigest()
        return user_cache_path("qrank", appauthor=False) / "openings" / f"{name}.state"

    def read(self, context: Any, sequence: int) -> bool:
        """Put the cells into an empty sequence of a context; whether they were there, and fit."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return False
        cells = data[_DIGEST:]
        if not cells or hashlib.blake2b(cells, digest_size=_DIGEST).digest() != data[:_DIGEST]:
            return False
        memory = llama.llama_get_memory(context)
        array = (ctypes.c_uint8 * len(cells)).from_buffer_copy(cells)
        taken = llama.llama_state_seq_set_data(context, array, len(cells), sequence)
        last = llama.llama_memory_seq_pos_max(memory, sequence)
        if taken == len(cells) and last == len(self.tokens) - 1:
            return True
        llama.llama_memory_seq_rm(memory, sequence, -1, -1)
        return False

    def keep(self, context: Any, sequence: int) -> None:
        """Write the cells of a sequence that holds these tokens and nothing else; the oldest files
        of other models go. It only saves time: what can't be written is not kept."""
        size = llama.llama_state_seq_get_size(context, sequence)
        array = (ctypes.c_uint8 * size)()
        count = llama.llama_state_seq_get_data(context, array, size, sequence)
        cells = ctypes.string_at(array, count)
        if not cells:
            return
        with suppress(OSError):
            path = self.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with files.replacing(path) as part:
                part.write_bytes(hashlib.blake2b(cells, digest_size=_DIGEST).digest() + cells)
            kept = sorted(path.parent.glob("*.state"), key=lambda each: each.stat().st_mtime_ns)
            for old in kept[:-MOST_FILES]:
                old.unlink()
