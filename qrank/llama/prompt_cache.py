"""A file with the KV cache of the tokens that all prompts of a model begin with.

The first 64 tokens of Qwen3-Reranker's prompt are the same for every query. Decoding them takes the
0.6B model half a second or more on two cores, reading the file (114 kB per token) milliseconds.
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
_DIGEST = 16  # bytes of the checksum in front of the KV cache


class PromptCache:
    """The tokens that a model's prompts begin with, and the file with their KV cache."""

    def __init__(self, model: Model, tokens: Sequence[int]) -> None:
        self.tokens = tuple(tokens)
        self._model = model

    @property
    def path(self) -> Path:
        """The file; its name is a hash of all that the content depends on. Raises OSError when the
        model file is gone."""
        info = self._model.file.path.stat()
        file = (self._model.file.path.resolve(), info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        key = (library(), system_info(), file, self.tokens)
        name = hashlib.blake2b(repr(key).encode("utf-8", "replace"), digest_size=16).hexdigest()
        return files.user_folder("cache") / "openings" / f"{name}.state"

    def read(self, context: Any, sequence: int) -> bool:
        """Restore the tokens into an empty sequence of a context. Returns False when there is no
        file, or it is damaged."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return False
        cells = data[_DIGEST:]
        if not cells or hashlib.blake2b(cells, digest_size=_DIGEST).digest() != data[:_DIGEST]:
            return False
        memory = llama.llama_get_memory(context)
        array = (ctypes.c_uint8 * len(cells)).from_buffer_copy(cells)
        size = llama.llama_state_seq_set_data(context, array, len(cells), sequence)
        last = llama.llama_memory_seq_pos_max(memory, sequence)
        if size == len(cells) and last == len(self.tokens) - 1:
            return True
        llama.llama_memory_seq_rm(memory, sequence, -1, -1)
        return False

    def write(self, context: Any, sequence: int) -> None:
        """Write the file from a sequence that has these tokens and no others; the oldest files are
        deleted. Errors are ignored: the file only saves time."""
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
            by_age = sorted(path.parent.glob("*.state"), key=lambda each: each.stat().st_mtime_ns)
            for old in by_age[:-MOST_FILES]:
                old.unlink()
