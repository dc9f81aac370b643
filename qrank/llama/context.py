"""One working memory of llama.cpp: packs of sequences through a model, and what is an output.

Only the last token of a sequence is an output, several sequences share a batch, and what all
of them begin with is decoded once: the rest is what costs time (docs/inference.md).
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
from qrank.llama.binding import errors, interrupts_held, llama
from qrank.llama.engine import Model
from qrank.llama.opening import Opening
from qrank.llama.token_types import TypedInputs

# A pack's tokens attend over all of its cache, so on a CPU a large pack costs more than it saves:
# with 2048, small models ran at half the speed of 512. A GPU wants larger ones.
PACK_TOKENS = 512
PACK_TOKENS_GPU = 2048
LARGE_VOCABULARY = 100_000
PACK_SEQUENCES, MOST_PREFIXES = 56, 8
_SEQUENCES = PACK_SEQUENCES + MOST_PREFIXES  # divides _CELLS, as llama.cpp wants it
_CELLS = 256  # sizes are rounded up to a multiple of this, as llama.cpp does
POOLING_OF_FILE = -1
POOLING_RANK = 4
Prefix = tuple[int, ...]  # what several sequences begin with
Prefixed = tuple[Prefix, Sequence[int]]  # a sequence, and what comes before it
Pack = list[Prefixed]
Read = Callable[[Any, int, int], NDArray[np.float32]]
_growing = threading.Lock()
_madvise = ctypes.CDLL(None).madvise if sys.platform == "linux" else None
if _madvise is not None:
    _madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Output(NamedTuple):
    """A model's output for a sequence, and how many tokens it computed for that."""

    values: NDArray[np.float32]
    tokens: int


def pack_tokens(model: Model) -> int:
    """How many tokens a pack holds at most, of several sequences."""
    if model.on_gpu:
        return PACK_TOKENS_GPU
    # llama.cpp makes room for a row of logits for each token of a pack of an encoder: 1 MB with a
    # vocabulary of 250,000.
    many_rows = not model.file.causal and model.vocabulary_size > LARGE_VOCABULARY
    return PACK_TOKENS // 2 if many_rows else PACK_TOKENS


class _Context:
    """A working memory for one model, made when the first pack is known and grown when needed.
    One thread at a time may use it."""

    def __init__(
        self,
        model: Model,
        threads: int,
        *,
        embeddings: bool,
        pooling: int = POOLING_OF_FILE,
        flash_attention: bool = False,
    ) -> None:
        """threads: how many compute a pack. embeddings: outputs are pooled embeddings (or a head's
        answers), else logits. flash_attention: on the CPU, too."""
        self.model = model
        self.threads = threads
        self.embeddings = embeddings
        self.pooling = pooling
        self.pack_tokens = pack_tokens(model)
        # On the CPU it moves a reranker's P(yes) by 6e-3 to 2e-2; vectors keep a cosine of 0.9999.
        self.flash_attention = flash_attention or model.on_gpu
        self.decoded = 0  # tokens so far
        self._handle: Any = None
        self._cells = self._sequences = 0

    def _reserve(self, cells: int, batch: int, outputs: int, sequences: int = _SEQUENCES) -> None:
        """A new, empty memory of that many cells, with room for batch tokens, outputs and sequences
        in one call: an output takes a row of the vocabulary's size, and there is one a sequence."""
        self.close()
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
        parameters.n_threads = parameters.n_threads_batch = self.threads
        errors.clear()
        with interrupts_held():
            self._handle = llama.llama_init_from_model(self.model.handle, parameters)
        if not self._handle:
            raise ModelError(
                f"not enough memory for {self.model.file.path} with a context of {cells} tokens",
                hint="use a smaller model, or --gpu-layers 0" if self.model.on_gpu else "",
            )
        self._give_back(sequences)
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

    def _give_back(self, rows: int) -> None:
        """Give the memory of the logits back to the system until something is written there.

        llama.cpp makes room for rows outputs of the vocabulary's size, and fills it with zeros:
        with 250,000 tokens 512 MB for a pack of a model that has no logits at all.
        """
        if _madvise is None or self.model.on_gpu:
            return
        logits = ctypes.cast(llama.llama_get_logits(self._handle), ctypes.c_void_p).value or 0
        first = -(-logits // mmap.PAGESIZE) * mmap.PAGESIZE
        end = (logits + 4 * rows * self.model.vocabulary_size) // mmap.PAGESIZE * mmap.PAGESIZE
        if logits and end > first:
            _madvise(first, end - first, mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Free the memory; the model must still be there."""
        if self._handle:
            llama.llama_free(self._handle)
            self._handle = None
            self._cells = 0


class DecoderContext(_Context):
    """For causal models: a cache, in which sequences share what they start with."""

    def __init__(
        self, model: Model, threads: int, *, opening: Opening | None = None, **settings: Any
    ) -> None:
        """opening: what most prefixes begin with, which a file may have."""
        super().__init__(model, threads, **settings)
        self._opening = opening
        self._cached: dict[Prefix, int] = {}  # prefixes in the cache, and their sequence ids
        self._call: object = None  # what the prefixes are held for

    def last_outputs(self, pack: Pack, read: Read, call: object) -> list[Output]:
        """The outputs of the last tokens of a pack's sequences, in order.

        What comes before a sequence is decoded once for all packs of a call that have it in common.
        A sequence holds at least one token. read(context, sequence id, row) copies an output out.
        """
        if self._call is not call:
            self._cached.clear()
            self._call = call
        try:
            new = self._hold(self._cached, pack)
            memory = llama.llama_get_memory(self._handle)
            for i, (prefix, _) in enumerate(pack, MOST_PREFIXES):
                if prefix:
                    llama.llama_memory_seq_cp(memory, self._cached[prefix], i, -1, -1)
            outputs = self._pack_outputs(pack, read)
        except BaseException:
            self._cached.clear()  # then the cache is cleared, too
            raise
        for i in range(MOST_PREFIXES, MOST_PREFIXES + len(pack)):
            llama.llama_memory_seq_rm(memory, i, -1, -1)
        return [
            Output(values, len(sequence) + new.pop(prefix, 0))
            for values, (prefix, sequence) in zip(outputs, pack, strict=True)
        ]

    def _hold(self, sequences: dict[Prefix, int], pack: Pack) -> dict[Prefix, int]:
        """Have a pack's prefixes in the cache, and room for its sequences. Returns how many tokens
        were computed for each prefix that was not there. sequences: none, at first."""
        prefixes = {prefix for prefix, _ in pack if prefix}
        room = sum(len(sequence) for _, sequence in pack)
        needed = sum(map(len, sequences.keys() | prefixes)) + room
        if (
            not sequences
            or needed > self._cells
            or len(sequences.keys() | prefixes) > MOST_PREFIXES
        ):
            sequences.clear()
            needed = sum(map(len, prefixes)) + room
            if needed > self._cells:
                # A query alone takes a quarter of the cache that a full pack does, which is 117 MB
                # with the 28 layers of Qwen3-0.6B.
                alone = len(pack) == 1 and not prefixes and not self._cells
                cells = _rounded(needed if alone else max(needed, 2 * self.pack_tokens))
                self._reserve(cells, min(cells, self.pack_tokens), _SEQUENCES)
            llama.llama_memory_clear(llama.llama_get_memory(self._handle), False)
        new = prefixes - sequences.keys()
        for prefix in new:
            sequences[prefix] = len(sequences)
            self._decode_prefix(prefix, sequences[prefix])
        return {prefix: len(prefix) for prefix in new}

    def _decode_prefix(self, prefix: Prefix, sequence: int) -> None:
        """Have a prefix in the cache, as that sequence. Its opening is computed by itself, so that
        scores are the same to the bit, whether or not a file had it."""
        opening, known = self._opening, 0
        if opening and prefix[: len(opening.tokens)] == opening.tokens:
            known = len(opening.tokens)
            if not opening.read(self._handle, sequence):
                self._decode_part(opening.tokens, sequence, 0)
                opening.keep(self._handle, sequence)
        if prefix[known:]:
            self._decode_part(prefix[known:], sequence, known)

    def _decode_part(self, part: Sequence[int], sequence: int, first: int) -> None:
        """Have tokens in the cache, as that sequence from that position on."""
        tokens, positions, owners, _ = _flat([part], sequence)
        self._decode(tokens, positions + np.int32(first), owners, np.zeros(len(part), np.bool_))

    def _pack_outputs(self, pack: Pack, read: Read) -> list[NDArray[np.float32]]:
        sequences = [sequence for _, sequence in pack]
        tokens, positions, owners, ends = _flat(sequences, MOST_PREFIXES)
        offsets = np.array([len(prefix) for prefix, _ in pack], dtype=np.int32)
        positions += offsets[owners - MOST_PREFIXES]
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
        """Run tokens through the model; returns where the last call's rows start among them."""
        llama.llama_set_embeddings(self._handle, self.embeddings and bool(outputs.any()))
        at = 0
        for at in range(0, len(tokens), self.pack_tokens):
            span = slice(at, at + self.pack_tokens)
            self._run(tokens[span], positions[span], owners[span], outputs[span])
        return at


class EncoderContext(_Context):
    """For models that read a sequence in both directions: no cache, a pack is one call."""

    def __init__(
        self, model: Model, threads: int, *, inputs: TypedInputs | None = None, **settings: Any
    ) -> None:
        """inputs: the tokens' vectors, where they are not llama.cpp's own."""
        super().__init__(model, threads, **settings)
        self.inputs = inputs
        self._rows = 0  # of outputs that there is room for

    def pooled_outputs(self, pack: Pack, size: int) -> list[Output]:
        """The pooled outputs of a pack's sequences, each of shape (size,), in order."""
        needed = sum(len(sequence) for _, sequence in pack)
        if needed > self._cells or len(pack) > self._sequences:
            # A query alone takes little: with a vocabulary of 250,000 tokens, 64 rows of
            # outputs are 64 MB.
            alone = len(pack) == 1
            cells = _rounded(needed if alone else max(needed, self.pack_tokens))
            self._reserve(cells, cells, cells, 1 if alone else _SEQUENCES)
            self._rows = self._sequences
        tokens, positions, owners, _ = _flat([each for _, each in pack], first_owner=0)
        vectors = self.inputs.vectors(tokens, owners) if self.inputs else None
        outputs = np.ones(len(tokens), dtype=np.bool_)
        if needed <= self._rows:
            self._run(tokens, positions, owners, outputs, vectors)
        else:  # llama.cpp makes room for more outputs: not for two packs at once
            with _growing:
                self._run(tokens, positions, owners, outputs, vectors)
                self._give_back(needed)
            self._rows = needed
        return [
            Output(pooled(self._handle, i, size), len(sequence))
            for i, (_, sequence) in enumerate(pack)
        ]


def _rounded(cells: int) -> int:
    return -(-cells // _CELLS) * _CELLS


def packs(sequences: Iterable[Prefixed], most: int) -> Iterator[Pack]:
    """As many sequences at a time, in order, as hold at most so many tokens; at least one. Those of
    a pack have one prefix in common, or several that hold no more tokens, together."""
    pack: Pack = []
    tokens = 0
    prefixes: set[Prefix] = set()
    for prefix, sequence in sequences:
        full = tokens + len(sequence) > most or len(pack) == PACK_SEQUENCES
        if pack and (full or not _fit(prefixes | {prefix}, most)):
            yield pack
            pack, tokens, prefixes = [], 0, set()
        pack.append((prefix, sequence))
        tokens += len(sequence)
        prefixes.add(prefix)
    if pack:
        yield pack


def _fit(prefixes: set[Prefix], most: int) -> bool:
    """Whether sequences with these prefixes can be in one pack."""
    return len(prefixes) == 1 or (
        len(prefixes) <= MOST_PREFIXES and sum(map(len, prefixes)) <= most
    )


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
