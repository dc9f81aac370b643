"""Models and contexts of llama.cpp, and the packing of sequences into batches.

Only the last token of a sequence is ever an output, several sequences share a batch, and what
all of them begin with is decoded once: the rest is what costs time (facts in docs/inference.md).
"""

from __future__ import annotations

import ctypes
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qrank.errors import ModelError
from qrank.llama.gguf import ModelFile

# Waiting threads give their core up soon. By default GNU OpenMP lets them spin for milliseconds:
# with another busy program on the machine, small models then ran thirty times slower.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import llama_cpp.llama_cpp as llama

MAX_TOKENS = 8192  # of one sequence; the reference implementations cut there too
PACK_TOKENS = 2048  # of the sequences in one pack, and the most llama.cpp gets in one call
PACK_SEQUENCES = 8  # more make each token attend over a longer shared cache, which costs more
_CELLS = 256  # llama.cpp rounds the cache up to a multiple of this

_errors: list[str] = []


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def _keep_errors(level: int, text: bytes, _: object) -> None:
    if level == 3:  # GGML_LOG_LEVEL_ERROR
        _errors.append(text.decode("utf-8", "replace").strip())
        del _errors[:-20]


llama.llama_log_set(_keep_errors, None)
llama.llama_backend_init()


def threads() -> int:
    """How many threads to decode with: one for each physical core this process may use."""
    try:
        allowed = os.sched_getaffinity(0)
        folder = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
        return len({Path(folder.format(cpu)).read_text() for cpu in allowed})
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def clean(text: str) -> str:
    """NFC, as the reference tokenizer does; a lone surrogate becomes a question mark."""
    return unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))


class Model:
    """A loaded model file. Raises ModelError when llama.cpp refuses it."""

    def __init__(self, file: ModelFile) -> None:
        self.file = file
        _errors.clear()
        parameters = llama.llama_model_default_params()
        parameters.n_gpu_layers = -1  # all of them, where the build has a device
        self.handle = llama.llama_model_load_from_file(os.fsencode(file.path), parameters)
        if not self.handle:
            reason = next((e for e in _errors if "error" in e), "it refused the file")
            raise ModelError(f"llama.cpp can't load {file.path}: {reason.split(': ', 1)[-1]}")
        self.vocabulary = llama.llama_model_get_vocab(self.handle)
        self.vocabulary_size = int(llama.llama_vocab_n_tokens(self.vocabulary))
        self.dims = int(llama.llama_model_n_embd(self.handle))

    def tokens(self, text: str, *, special: bool = False) -> list[int]:
        """The token ids of text, which must be clean. With special, control tokens are parsed:
        for the parts of a template only, never for a document or a query."""
        data = text.encode("utf-8")
        room = len(data) + 8
        ids = (llama.llama_token * room)()
        count = llama.llama_tokenize(self.vocabulary, data, len(data), ids, room, False, special)
        if count < 0:
            raise ModelError(f"{self.file.path} has no vocabulary that llama.cpp can use")
        return list(ids[:count])

    def end_token(self) -> int:
        """The token that ends a text for an embedder."""
        return int(llama.llama_vocab_eos(self.vocabulary))

    def close(self) -> None:
        """Free the model's memory."""
        if self.handle:
            llama.llama_model_free(self.handle)
            self.handle = None


class Context:
    """A working memory for one model, grown to what is in flight."""

    def __init__(self, model: Model, *, embeddings: bool) -> None:
        """embeddings: outputs are pooled embeddings (or a head's answers), else logits."""
        self.model = model
        self.embeddings = embeddings
        self._handle: Any = None
        self._cells = 0

    def last_outputs(
        self,
        prefix: Sequence[int],
        sequences: Sequence[Sequence[int]],
        read: Callable[[Any, int, int], NDArray[np.float32]],
    ) -> Iterator[list[NDArray[np.float32]]]:
        """Yield the outputs of the last tokens of the sequences, in order, pack by pack.

        prefix is what every sequence starts with; it is decoded once. A sequence holds at least
        one token. read(context, sequence id, row) copies the output out.
        """
        first = 0
        ready = False
        for stop in _packs(sequences):
            pack = sequences[first:stop]
            ready = self._reserve(len(prefix) + sum(map(len, pack))) and ready
            memory = llama.llama_get_memory(self._handle)
            if not ready:
                llama.llama_memory_clear(memory, False)
                self._decode(prefix, range(len(prefix)), [0] * len(prefix), outputs=False)
                ready = True
            for i in range(len(pack)):
                llama.llama_memory_seq_cp(memory, 0, i + 1, -1, -1)
            outputs = self._pack_outputs(len(prefix), pack, read)
            for i in range(len(pack)):
                llama.llama_memory_seq_rm(memory, i + 1, -1, -1)
            first = stop
            yield outputs

    def _pack_outputs(
        self,
        offset: int,
        pack: Sequence[Sequence[int]],
        read: Callable[[Any, int, int], NDArray[np.float32]],
    ) -> list[NDArray[np.float32]]:
        # Two calls: with embeddings on, llama.cpp makes every token an output, and runs the
        # last layer and the whole output matrix for each. So all but the last go first.
        tokens = [token for sequence in pack for token in sequence[:-1]]
        positions = [offset + i for sequence in pack for i in range(len(sequence) - 1)]
        owners = [s + 1 for s, sequence in enumerate(pack) for _ in sequence[:-1]]
        self._decode(tokens, positions, owners, outputs=False)
        last = [sequence[-1] for sequence in pack]
        ends = [offset + len(sequence) - 1 for sequence in pack]
        self._decode(last, ends, range(1, len(pack) + 1), outputs=True)
        return [read(self._handle, i + 1, i) for i in range(len(pack))]

    def _reserve(self, tokens: int) -> bool:
        """Make room for so many tokens; False when the memory is new, and so empty."""
        if tokens <= self._cells:
            return True
        self.close()
        cells = -(-max(tokens, PACK_TOKENS) // _CELLS) * _CELLS
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = cells
        parameters.n_batch = PACK_TOKENS
        parameters.n_ubatch = 512
        parameters.n_seq_max = PACK_SEQUENCES + 1
        parameters.kv_unified = True
        parameters.embeddings = self.embeddings
        if not llama.llama_supports_gpu_offload():
            # On the CPU it is off by ten times more: |Δ P(yes)| 6e-3 against 5e-4.
            parameters.flash_attn_type = 0  # LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.n_threads = parameters.n_threads_batch = threads()
        _errors.clear()
        self._handle = llama.llama_init_from_model(self.model.handle, parameters)
        if not self._handle:
            raise ModelError(
                f"not enough memory for {self.model.file.path} with a context of {cells} tokens"
            )
        self._cells = cells
        return False

    def _decode(
        self, tokens: Sequence[int], positions: Sequence[int], owners: Sequence[int], outputs: bool
    ) -> None:
        llama.llama_set_embeddings(self._handle, outputs and self.embeddings)
        for at in range(0, len(tokens), PACK_TOKENS):
            span = slice(at, at + PACK_TOKENS)
            batch, _keep = _batch(tokens[span], positions[span], owners[span], outputs)
            status = llama.llama_decode(self._handle, batch)
            if status:
                raise ModelError(f"llama.cpp failed on {self.model.file.path} (status {status})")

    def close(self) -> None:
        """Free the context's memory."""
        if self._handle:
            llama.llama_free(self._handle)
            self._handle = None
            self._cells = 0


def _packs(sequences: Sequence[Sequence[int]]) -> Iterator[int]:
    """Where each pack ends: as many sequences in order as fit, at least one."""
    first, held = 0, 0
    for i, sequence in enumerate(sequences):
        if i > first and (held + len(sequence) > PACK_TOKENS or i - first == PACK_SEQUENCES):
            yield i
            first, held = i, 0
        held += len(sequence)
    if sequences:
        yield len(sequences)


def _batch(
    tokens: Sequence[int], positions: Sequence[int], owners: Sequence[int], outputs: bool
) -> tuple[Any, list[NDArray[Any]]]:
    """A llama_batch over arrays of ours, and the arrays, which must outlive it."""
    n = len(tokens)
    token = np.asarray(tokens, dtype=np.int32)
    position = np.asarray(positions, dtype=np.int32)
    owner = np.asarray(owners, dtype=np.int32)
    count = np.ones(n, dtype=np.int32)
    pointers = owner.ctypes.data + np.arange(n, dtype=np.uintp) * owner.itemsize
    output = np.full(n, outputs, dtype=np.int8)

    def pointer(array: NDArray[Any], kind: Any) -> Any:
        return array.ctypes.data_as(ctypes.POINTER(kind))

    batch = llama.llama_batch(
        n_tokens=n,
        token=pointer(token, llama.llama_token),
        embd=None,
        pos=pointer(position, llama.llama_pos),
        n_seq_id=pointer(count, ctypes.c_int32),
        seq_id=pointer(pointers, ctypes.POINTER(llama.llama_seq_id)),
        logits=pointer(output, ctypes.c_int8),
    )
    return batch, [token, position, owner, count, pointers, output]


def pooled(context: Any, sequence: int, size: int) -> NDArray[np.float32]:
    """A copy of the pooled output of a sequence, of shape (size,)."""
    return np.ctypeslib.as_array(
        llama.llama_get_embeddings_seq(context, sequence), shape=(size,)
    ).copy()


def logits(context: Any, row: int, ids: Sequence[int], size: int) -> NDArray[np.float32]:
    """A copy of the logits of some token ids for the row-th output, of shape (len(ids),)."""
    everything = np.ctypeslib.as_array(llama.llama_get_logits_ith(context, row), shape=(size,))
    return everything[list(ids)].copy()
