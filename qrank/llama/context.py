"""A llama.cpp context: decodes batches of sequences, and reads their outputs.

To save time, only the last token of a sequence is an output, several sequences share a batch, and
a common prefix is decoded once (docs/inference.md).
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qrank.errors import ModelError
from qrank.llama.binding import delayed_signals, errors, llama
from qrank.llama.engine import Model
from qrank.llama.prompt_cache import PromptCache
from qrank.llama.token_types import TypedInputs

# The tokens of a batch attend over all of its cache, so on a CPU a large batch costs more than it
# saves: with 2048 tokens, small models ran at half the speed of 512. GPUs need larger batches.
BATCH_TOKENS = 512
BATCH_TOKENS_GPU = 2048
LARGE_VOCABULARY = 100_000
BATCH_SEQUENCES, MOST_PREFIXES = 56, 8
_SEQUENCES = BATCH_SEQUENCES + MOST_PREFIXES  # divides _CELLS, as llama.cpp requires
_CELLS = 256  # KV cache cells: sizes are rounded up to a multiple of this, as llama.cpp does
POOLING_OF_FILE = -1
POOLING_RANK = 4
Prefix = tuple[int, ...]  # tokens that several sequences begin with
Prefixed = tuple[Prefix, Sequence[int]]  # (prefix, the tokens after it)
Batch = list[Prefixed]
Read = Callable[[Any, int, int], NDArray[np.float32]]
_growing = threading.Lock()
_madvise = ctypes.CDLL(None).madvise if sys.platform == "linux" else None
if _madvise is not None:
    _madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Output(NamedTuple):
    """A model's output for a sequence, and how many tokens were decoded for it."""

    values: NDArray[np.float32]
    tokens: int


def batch_tokens(model: Model) -> int:
    """The most tokens in a batch of several sequences; one longer sequence is a batch by itself."""
    if model.on_gpu:
        return BATCH_TOKENS_GPU
    # For encoders llama.cpp allocates a row of logits per token of a batch: 1 MB with a vocabulary
    # of 250,000.
    many_rows = not model.file.causal and model.vocabulary_size > LARGE_VOCABULARY
    return BATCH_TOKENS // 2 if many_rows else BATCH_TOKENS


class _Context:
    """A llama_context of one model, allocated for the first batch and reallocated when a larger
    one needs it. Not thread-safe."""

    def __init__(
        self,
        model: Model,
        threads: int,
        *,
        embeddings: bool,
        pooling: int = POOLING_OF_FILE,
        flash_attention: bool = False,
    ) -> None:
        """threads: for one batch. embeddings: outputs are pooled embeddings, or those of a head;
        else logits. pooling: llama.cpp's enum. flash_attention: on the CPU, too."""
        self.model = model
        self.threads = threads
        self.embeddings = embeddings
        self.pooling = pooling
        self.batch_tokens = batch_tokens(model)
        # On the CPU it changes a reranker's P(yes) by 6e-3 to 2e-2; vectors keep a cosine of .9999.
        self.flash_attention = flash_attention or model.on_gpu
        self.decoded = 0  # tokens so far
        self._handle: Any = None
        self._cells = self._sequences = 0

    def _reserve(
        self, cells: int, batch_size: int, outputs: int, sequences: int = _SEQUENCES
    ) -> None:
        """Allocate a new, empty context with so many KV cache cells; batch_size, outputs and
        sequences are the most of each in one llama_decode. Raises ModelError without memory."""
        self.close()
        cells = _rounded(cells)
        parameters = llama.llama_context_default_params()
        parameters.n_ctx = cells
        parameters.n_batch = parameters.n_ubatch = batch_size
        parameters.n_seq_max = sequences
        parameters.n_outputs_max = outputs
        parameters.kv_unified = True
        parameters.embeddings = self.embeddings
        parameters.pooling_type = self.pooling
        # LLAMA_FLASH_ATTN_TYPE: auto (where the device has it), disabled
        parameters.flash_attn_type = -1 if self.flash_attention else 0
        parameters.op_offload = self.model.on_gpu
        parameters.n_threads = parameters.n_threads_batch = self.threads
        errors.clear()
        with delayed_signals():
            self._handle = llama.llama_init_from_model(self.model.handle, parameters)
        if not self._handle:
            raise ModelError(
                f"not enough memory for {self.model.file.path} with a context of {cells} tokens",
                hint="use a smaller model, or --gpu-layers 0" if self.model.on_gpu else "",
            )
        self._release_logits(sequences)
        self._cells, self._sequences = cells, sequences

    def _run(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        owners: NDArray[np.int32],
        outputs: NDArray[np.bool_],
        vectors: NDArray[np.float32] | None = None,
    ) -> None:
        batch, _arrays = _llama_batch(tokens, positions, owners, outputs, vectors)
        status = llama.llama_decode(self._handle, batch)
        if status:
            raise ModelError(f"llama.cpp failed on {self.model.file.path} (status {status})")
        self.decoded += len(tokens)

    def _release_logits(self, rows: int) -> None:
        """Return the memory of the logits buffer to the system until it is written.

        llama.cpp allocates rows * vocabulary floats and fills them with zeros: 512 MB for a batch
        of 512 with 250,000 tokens, even for a model that computes no logits.
        """
        if _madvise is None or self.model.on_gpu:
            return
        logits = ctypes.cast(llama.llama_get_logits(self._handle), ctypes.c_void_p).value or 0
        first = -(-logits // mmap.PAGESIZE) * mmap.PAGESIZE
        end = (logits + 4 * rows * self.model.vocabulary_size) // mmap.PAGESIZE * mmap.PAGESIZE
        if logits and end > first:
            _madvise(first, end - first, mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Free the context; call it before the model is freed."""
        if self._handle:
            llama.llama_free(self._handle)
            self._handle = None
            self._cells = 0


class DecoderContext(_Context):
    """A context of a causal model: sequences share their prefixes in the KV cache."""

    def __init__(
        self,
        model: Model,
        threads: int,
        *,
        prompt_cache: PromptCache | None = None,
        **settings: Any,
    ) -> None:
        """prompt_cache: a file with the KV cache of the tokens that most prefixes begin with."""
        super().__init__(model, threads, **settings)
        self._prompt_cache = prompt_cache
        self._cached: dict[Prefix, int] = {}  # prefixes in the KV cache, with their sequence ids
        self._call: object = None  # the call that they are cached for

    def last_outputs(self, batch: Batch, read: Read, call: object) -> list[Output]:
        """The outputs of the last token of each sequence of a batch, in order.

        A prefix is decoded once for all batches with the same `call` object. Each sequence has at
        least one token after its prefix. read(context, sequence id, row) copies an output out of
        llama.cpp.
        """
        if self._call is not call:
            self._cached.clear()
            self._call = call
        try:
            new = self._cache_prefixes(self._cached, batch)
            memory = llama.llama_get_memory(self._handle)
            for i, (prefix, _) in enumerate(batch, MOST_PREFIXES):
                if prefix:
                    llama.llama_memory_seq_cp(memory, self._cached[prefix], i, -1, -1)
            outputs = self._batch_outputs(batch, read)
        except BaseException:
            self._cached.clear()  # the next call then clears llama.cpp's cache, too
            raise
        for i in range(MOST_PREFIXES, MOST_PREFIXES + len(batch)):
            llama.llama_memory_seq_rm(memory, i, -1, -1)
        return [
            Output(values, len(sequence) + new.pop(prefix, 0))
            for values, (prefix, sequence) in zip(outputs, batch, strict=True)
        ]

    def _cache_prefixes(self, sequences: dict[Prefix, int], batch: Batch) -> dict[Prefix, int]:
        """Decode the batch's prefixes that are not cached yet, and make sure that its sequences
        fit into the cache. Returns the number of tokens of each prefix that was decoded.
        sequences: the ids of the cached prefixes; updated."""
        prefixes = {prefix for prefix, _ in batch if prefix}
        room = sum(len(sequence) for _, sequence in batch)
        needed = sum(map(len, sequences.keys() | prefixes)) + room
        if (
            not sequences
            or needed > self._cells
            or len(sequences.keys() | prefixes) > MOST_PREFIXES
        ):
            sequences.clear()
            needed = sum(map(len, prefixes)) + room
            if needed > self._cells:
                # A single query needs a quarter of the cache of a full batch, which is 117 MB with
                # the 28 layers of Qwen3-0.6B.
                alone = len(batch) == 1 and not prefixes and not self._cells
                cells = _rounded(needed if alone else max(needed, 2 * self.batch_tokens))
                self._reserve(cells, min(cells, self.batch_tokens), _SEQUENCES)
            llama.llama_memory_clear(llama.llama_get_memory(self._handle), False)
        new = prefixes - sequences.keys()
        for prefix in new:
            sequences[prefix] = len(sequences)
            self._decode_prefix(prefix, sequences[prefix])
        return {prefix: len(prefix) for prefix in new}

    def _decode_prefix(self, prefix: Prefix, sequence: int) -> None:
        """Decode a prefix into the cache as a sequence. Tokens of the prompt cache are decoded by
        themselves, so that scores are bit-identical whether they were read from the file or not."""
        cache, done = self._prompt_cache, 0
        if cache and prefix[: len(cache.tokens)] == cache.tokens:
            done = len(cache.tokens)
            if not cache.read(self._handle, sequence):
                self._decode_part(cache.tokens, sequence, 0)
                cache.write(self._handle, sequence)
        if prefix[done:]:
            self._decode_part(prefix[done:], sequence, done)

    def _decode_part(self, part: Sequence[int], sequence: int, first: int) -> None:
        """Decode tokens into the cache as part of a sequence, from position first."""
        tokens, positions, owners, _ = _flat([part], sequence)
        self._decode(tokens, positions + np.int32(first), owners, np.zeros(len(part), np.bool_))

    def _batch_outputs(self, batch: Batch, read: Read) -> list[NDArray[np.float32]]:
        sequences = [sequence for _, sequence in batch]
        tokens, positions, owners, ends = _flat(sequences, MOST_PREFIXES)
        offsets = np.array([len(prefix) for prefix, _ in batch], dtype=np.int32)
        positions += offsets[owners - MOST_PREFIXES]
        last = np.zeros(len(tokens), dtype=np.bool_)
        last[ends] = True
        if self.embeddings:
            # With embeddings on, llama.cpp makes every token an output, and computes the last layer
            # and the output matrix for each. So all but the last tokens are decoded before, with
            # embeddings off.
            rest = ~last
            self._decode(tokens[rest], positions[rest], owners[rest], last[rest])
            tokens, positions, owners = tokens[last], positions[last], owners[last]
            last = np.ones(len(batch), dtype=np.bool_)
            ends = np.arange(len(batch))
        first_row = self._decode(tokens, positions, owners, last)
        return [
            read(self._handle, i, int(end) - first_row) for i, end in enumerate(ends, MOST_PREFIXES)
        ]

    def _decode(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        owners: NDArray[np.int32],
        outputs: NDArray[np.bool_],
    ) -> int:
        """Decode tokens, in several calls if they are many. Returns the index of the first token
        of the last call: output rows are counted from there."""
        llama.llama_set_embeddings(self._handle, self.embeddings and bool(outputs.any()))
        at = 0
        for at in range(0, len(tokens), self.batch_tokens):
            span = slice(at, at + self.batch_tokens)
            self._run(tokens[span], positions[span], owners[span], outputs[span])
        return at


class EncoderContext(_Context):
    """A context of a bidirectional model: no KV cache, and a batch is one llama_decode."""

    def __init__(
        self, model: Model, threads: int, *, inputs: TypedInputs | None = None, **settings: Any
    ) -> None:
        """inputs: computes input vectors that replace llama.cpp's token embeddings."""
        super().__init__(model, threads, **settings)
        self.inputs = inputs
        self._rows = 0  # outputs that are allocated

    def pooled_outputs(self, batch: Batch, size: int) -> list[Output]:
        """The pooled outputs of a batch's sequences, each of shape (size,), in order."""
        needed = sum(len(sequence) for _, sequence in batch)
        if needed > self._cells or len(batch) > self._sequences:
            # A single query needs one row of outputs; 64 rows are 64 MB with a vocabulary of
            # 250,000 tokens.
            alone = len(batch) == 1
            cells = _rounded(needed if alone else max(needed, self.batch_tokens))
            self._reserve(cells, cells, cells, 1 if alone else _SEQUENCES)
            self._rows = self._sequences
        tokens, positions, owners, _ = _flat([each for _, each in batch], first_owner=0)
        vectors = self.inputs.vectors(tokens, owners) if self.inputs else None
        outputs = np.ones(len(tokens), dtype=np.bool_)
        if needed <= self._rows:
            self._run(tokens, positions, owners, outputs, vectors)
        else:  # llama.cpp allocates more outputs: in one context at a time, to limit the peak
            with _growing:
                self._run(tokens, positions, owners, outputs, vectors)
                self._release_logits(needed)
            self._rows = needed
        return [
            Output(pooled(self._handle, i, size), len(sequence))
            for i, (_, sequence) in enumerate(batch)
        ]


def _rounded(cells: int) -> int:
    return -(-cells // _CELLS) * _CELLS


def batches(sequences: Iterable[Prefixed], most: int) -> Iterator[Batch]:
    """Split sequences, in order, into batches of at most `most` tokens, but at least one sequence.
    The sequences of a batch have one common prefix, or several of at most `most` tokens in all."""
    batch: Batch = []
    tokens = 0
    prefixes: set[Prefix] = set()
    for prefix, sequence in sequences:
        full = tokens + len(sequence) > most or len(batch) == BATCH_SEQUENCES
        if batch and (full or not _fit(prefixes | {prefix}, most)):
            yield batch
            batch, tokens, prefixes = [], 0, set()
        batch.append((prefix, sequence))
        tokens += len(sequence)
        prefixes.add(prefix)
    if batch:
        yield batch


def _fit(prefixes: set[Prefix], most: int) -> bool:
    """Whether sequences with these prefixes can be in one batch."""
    return len(prefixes) == 1 or (
        len(prefixes) <= MOST_PREFIXES and sum(map(len, prefixes)) <= most
    )


def _flat(
    batch: Sequence[Sequence[int]], first_owner: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Concatenate sequences into arrays (tokens, positions, sequence ids) of shape (tokens,), and
    the index of each sequence's last token."""
    tokens = np.concatenate([np.asarray(sequence, dtype=np.int32) for sequence in batch])
    lengths = np.array([len(sequence) for sequence in batch])
    ends = lengths.cumsum() - 1
    starts = (ends - lengths + 1).repeat(lengths)
    positions = (np.arange(len(tokens)) - starts).astype(np.int32)
    owners = np.arange(first_owner, first_owner + len(batch), dtype=np.int32).repeat(lengths)
    return tokens, positions, owners, ends


def _llama_batch(
    tokens: NDArray[np.int32],
    positions: NDArray[np.int32],
    owners: NDArray[np.int32],
    outputs: NDArray[np.bool_],
    vectors: NDArray[np.float32] | None,
) -> tuple[Any, list[NDArray[Any]]]:
    """A llama_batch that points into arrays, and the arrays, which must outlive it. vectors: of
    shape (tokens, dims), given to the model in place of the tokens."""
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
    arrays: list[NDArray[Any]] = [tokens, positions, owners, count, pointers, marks]
    if vectors is not None:
        arrays.append(vectors)
    return batch, arrays


def pooled(context: Any, sequence: int, size: int) -> NDArray[np.float32]:
    """A copy of the pooled output of a sequence, of shape (size,)."""
    return np.ctypeslib.as_array(
        llama.llama_get_embeddings_seq(context, sequence), shape=(size,)
    ).copy()


def logits(context: Any, row: int, ids: Sequence[int], size: int) -> NDArray[np.float32]:
    """A copy of the logits of some token ids, of shape (len(ids),). row: of the last decode call;
    size: of the vocabulary."""
    all_logits = np.ctypeslib.as_array(llama.llama_get_logits_ith(context, row), shape=(size,))
    return all_logits[list(ids)].copy()
