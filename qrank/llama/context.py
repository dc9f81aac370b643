"""Packing sequences into llama.cpp's batches: what is computed once, and what is an output.

Only the last token of a sequence is an output, several sequences share a batch, and what all
of them begin with is decoded once: the rest is what costs time (docs/inference.md).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qrank.errors import ModelError
from qrank.llama.binding import errors, interrupts_held, llama
from qrank.llama.engine import Model
from qrank.llama.token_types import TypedInputs

# A pack's tokens attend over all of its cache, so on a CPU a large pack costs more than it saves:
# with 2048, small models ran at half the speed of 512. A GPU wants larger ones.
PACK_TOKENS = 512
PACK_TOKENS_GPU = 2048
PACK_SEQUENCES = 63  # and the shared prefix: 64, which divides _CELLS as llama.cpp wants it
_CELLS = 256  # sizes are rounded up to a multiple of this, as llama.cpp does
POOLING_OF_FILE = -1
POOLING_RANK = 4
_Pack = list[Sequence[int]]
Read = Callable[[Any, int, int], NDArray[np.float32]]


class _Context:
    """A working memory for one model, made when the first pack is known and grown when needed."""

    def __init__(
        self,
        model: Model,
        *,
        embeddings: bool,
        pooling: int = POOLING_OF_FILE,
        flash_attention: bool = False,
    ) -> None:
        """embeddings: outputs are pooled embeddings (or a head's answers), else logits.
        flash_attention: on the CPU, too."""
        self.model = model
        self.embeddings = embeddings
        self.pooling = pooling
        self.pack_tokens = PACK_TOKENS_GPU if model.on_gpu else PACK_TOKENS
        # On the CPU it moves a reranker's P(yes) by 6e-3 to 2e-2; vectors keep a cosine of 0.9999.
        self.flash_attention = flash_attention or model.on_gpu
        self.decoded = 0  # tokens so far
        self._tokeniser = ThreadPoolExecutor(1)
        self._handle: Any = None
        self._cells = self._sequences = 0

    def _reserve(
        self, cells: int, batch: int, outputs: int, sequences: int = PACK_SEQUENCES + 1
    ) -> None:
        """A new, empty memory of that many cells, with room for batch tokens, outputs and sequences
        in one call: an output takes a row of the vocabulary's size, and there is one a sequence."""
        self._free()
        cells = _rounded(cells)
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = cells
        parameters.n_batch = parameters.n_ubatch = batch
        parameters.n_seq_max = sequences
        parameters.n_outputs_max = outputs
        parameters.kv_unified = True
        parameters.embeddings = self.embeddings
        parameters.pooling_type = self.pooling
        # LLAMA_FLASH_ATTN_TYPE: auto (where the device has it), disabled
        parameters.flash_attn_type = -1 if self.flash_attention else 0
        parameters.op_offload = self.model.on_gpu
        parameters.n_threads = parameters.n_threads_batch = self.model.threads
        errors.clear()
        with interrupts_held():
            self._handle = llama.llama_init_from_model(self.model.handle, parameters)
        if not self._handle:
            raise ModelError(
                f"not enough memory for {self.model.file.path} with a context of {cells} tokens",
                hint="use a smaller model, or --gpu-layers 0" if self.model.on_gpu else "",
            )
        self._cells, self._sequences = cells, sequences

    def _run(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        owners: NDArray[np.int32],
        outputs: NDArray[np.bool_],
        vectors: NDArray[np.float32] | None = None,
    ) -> None:
        batch, _alive = _batch(tokens, positions, owners, outputs, vectors)
        status = llama.llama_decode(self._handle, batch)
        if status:
            raise ModelError(f"llama.cpp failed on {self.model.file.path} (status {status})")
        self.decoded += len(tokens)

    def _packed(self, sequences: Iterable[Sequence[int]]) -> Iterator[_Pack]:
        """Packs of sequences, each tokenised in a thread while the one before it is decoded."""
        packs = _packs(sequences, self.pack_tokens)
        coming = self._tokeniser.submit(next, packs, None)
        while (pack := coming.result()) is not None:
            coming = self._tokeniser.submit(next, packs, None)
            yield pack

    def close(self) -> None:
        """Free the context's memory; the model must still be there."""
        self._tokeniser.shutdown(cancel_futures=True)  # waits for what it is at
        self._free()

    def _free(self) -> None:
        if self._handle:
            llama.llama_free(self._handle)
            self._handle = None
            self._cells = 0


class DecoderContext(_Context):
    """For causal models: a cache, in which sequences share what they start with."""

    def last_outputs(
        self, prefix: Sequence[int], sequences: Iterable[Sequence[int]], read: Read
    ) -> Iterator[list[NDArray[np.float32]]]:
        """Yield the outputs of the last tokens of the sequences, in order, pack by pack.

        prefix is what every sequence starts with; it is decoded once. A sequence holds at least
        one token. read(context, sequence id, row) copies an output out.
        """
        shared = np.asarray(prefix, dtype=np.int32)
        ready = False
        for pack in self._packed(sequences):
            needed = len(prefix) + sum(map(len, pack))
            if needed > self._cells:
                cells = max(needed, 2 * self.pack_tokens)
                self._reserve(cells, self.pack_tokens, PACK_SEQUENCES + 1)
                ready = False
            memory = llama.llama_get_memory(self._handle)
            if not ready:
                llama.llama_memory_clear(memory, False)
                zeros = np.zeros_like(shared)
                self._decode(shared, np.arange(len(shared), dtype=np.int32), zeros, zeros > 0)
                ready = True
            for i in range(len(pack)):
                llama.llama_memory_seq_cp(memory, 0, i + 1, -1, -1)
            outputs = self._pack_outputs(len(prefix), pack, read)
            for i in range(len(pack)):
                llama.llama_memory_seq_rm(memory, i + 1, -1, -1)
            yield outputs

    def _pack_outputs(
        self, offset: int, pack: Sequence[Sequence[int]], read: Read
    ) -> list[NDArray[np.float32]]:
        tokens, positions, owners, ends = _flat(pack, first_owner=1)
        positions += offset
        last = np.zeros(len(tokens), dtype=np.bool_)
        last[ends] = True
        if self.embeddings:
            # Two calls: with embeddings on, llama.cpp makes every token an output, and runs the
            # last layer and the whole output matrix for each. So all but the last go first.
            rest = ~last
            self._decode(tokens[rest], positions[rest], owners[rest], last[rest])
            tokens, positions, owners = tokens[last], positions[last], owners[last]
            last = np.ones(len(pack), dtype=np.bool_)
            ends = np.arange(len(pack))
        first_row = self._decode(tokens, positions, owners, last)
        return [read(self._handle, i + 1, int(end) - first_row) for i, end in enumerate(ends)]

    def _decode(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        owners: NDArray[np.int32],
        outputs: NDArray[np.bool_],
    ) -> int:
        """Run tokens through the model; returns where the last call's rows start among them."""
        llama.llama_set_embeddings(self._handle, self.embeddings and bool(outputs.any()))
        at = 0
        for at in range(0, len(tokens), self.pack_tokens):
            span = slice(at, at + self.pack_tokens)
            self._run(tokens[span], positions[span], owners[span], outputs[span])
        return at


class EncoderContext(_Context):
    """For models that read a sequence in both directions: no cache, a pack is one call."""

    inputs: TypedInputs | None = None  # the tokens' vectors, where they are not llama.cpp's own

    def pooled_outputs(
        self, sequences: Iterable[Sequence[int]], size: int
    ) -> Iterator[list[NDArray[np.float32]]]:
        """Yield the pooled outputs of the sequences, each of shape (size,), pack by pack."""
        for pack in self._packed(sequences):
            needed = sum(map(len, pack))
            if needed > self._cells or len(pack) > self._sequences:
                # A query alone takes little: with a vocabulary of 250,000 tokens, 64 rows of
                # outputs are 64 MB.
                alone = len(pack) == 1
                cells = _rounded(needed if alone else max(needed, self.pack_tokens))
                self._reserve(cells, cells, cells, 1 if alone else PACK_SEQUENCES + 1)
            tokens, positions, owners, _ = _flat(pack, first_owner=0)
            vectors = self.inputs.vectors(tokens, owners) if self.inputs else None
            self._run(tokens, positions, owners, np.ones(len(tokens), dtype=np.bool_), vectors)
            yield [pooled(self._handle, i, size) for i in range(len(pack))]


def _rounded(cells: int) -> int:
    return -(-cells // _CELLS) * _CELLS


def _packs(sequences: Iterable[Sequence[int]], most: int) -> Iterator[_Pack]:
    """As many sequences at a time, in order, as hold at most so many tokens; at least one."""
    pack: _Pack = []
    held = 0
    for sequence in sequences:
        if pack and (held + len(sequence) > most or len(pack) == PACK_SEQUENCES):
            yield pack
            pack, held = [], 0
        pack.append(sequence)
        held += len(sequence)
    if pack:
        yield pack


def _flat(
    pack: Sequence[Sequence[int]], first_owner: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """(tokens, their positions, their sequences' ids, where each sequence's last one is)."""
    tokens = np.concatenate([np.asarray(sequence, dtype=np.int32) for sequence in pack])
    lengths = np.array([len(sequence) for sequence in pack])
    ends = lengths.cumsum() - 1
    starts = (ends - lengths + 1).repeat(lengths)
    positions = (np.arange(len(tokens)) - starts).astype(np.int32)
    owners = np.arange(first_owner, first_owner + len(pack), dtype=np.int32).repeat(lengths)
    return tokens, positions, owners, ends


def _batch(
    tokens: NDArray[np.int32],
    positions: NDArray[np.int32],
    owners: NDArray[np.int32],
    outputs: NDArray[np.bool_],
    vectors: NDArray[np.float32] | None,
) -> tuple[Any, list[NDArray[Any]]]:
    """A llama_batch over arrays, and the arrays, which must outlive it. vectors: of shape
    (tokens, dims), what the model is given in place of the tokens."""
    count = np.ones(len(tokens), dtype=np.int32)
    owners = np.ascontiguousarray(owners)
    pointers = owners.ctypes.data + np.arange(len(tokens), dtype=np.uintp) * owners.itemsize
    tokens, positions = np.ascontiguousarray(tokens), np.ascontiguousarray(positions)
    marks = outputs.astype(np.int8)

    if vectors is not None:
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)

    def pointer(array: NDArray[Any], kind: Any) -> Any:
        return array.ctypes.data_as(ctypes.POINTER(kind))

    batch = llama.llama_batch(
        n_tokens=len(tokens),
        token=pointer(tokens, llama.llama_token) if vectors is None else None,
        embd=None if vectors is None else pointer(vectors, ctypes.c_float),
        pos=pointer(positions, llama.llama_pos),
        n_seq_id=pointer(count, ctypes.c_int32),
        seq_id=pointer(pointers, ctypes.POINTER(llama.llama_seq_id)),
        logits=pointer(marks, ctypes.c_int8),
    )
    alive: list[NDArray[Any]] = [tokens, positions, owners, count, pointers, marks]
    if vectors is not None:
        alive.append(vectors)
    return batch, alive


def pooled(context: Any, sequence: int, size: int) -> NDArray[np.float32]:
    """A copy of the pooled output of a sequence, of shape (size,)."""
    return np.ctypeslib.as_array(
        llama.llama_get_embeddings_seq(context, sequence), shape=(size,)
    ).copy()


def logits(context: Any, row: int, ids: Sequence[int], size: int) -> NDArray[np.float32]:
    """A copy of the logits of some token ids for a token of the last call, of shape (len(ids),)."""
    everything = np.ctypeslib.as_array(llama.llama_get_logits_ith(context, row), shape=(size,))
    return everything[list(ids)].copy()
