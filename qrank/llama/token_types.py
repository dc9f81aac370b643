"""BERT's cross-encoders know a pair's two texts apart by the type of their tokens, which llama.cpp
has no place for: it gives every token the type 0. So they are given the tokens' vectors instead of
their ids, with what type 1 has more than type 0 added to those of the second text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qrank.errors import ModelError
from qrank.llama.gguf import Kind, ModelFile

_FLOATS = {0: "<f4", 1: "<f2"}  # ggml's types that numpy has


class TypedInputs:
    """The input vectors of the tokens of pairs."""

    def __init__(self, file: ModelFile, separator: int) -> None:
        """separator: the token that ends each text of a pair."""
        self._separator = separator
        self._file = file
        first, second = _rows(file, "token_types.weight", np.arange(2))
        self._more = second - first

    def vectors(self, tokens: NDArray[np.int32], owners: NDArray[np.int32]) -> NDArray[np.float32]:
        """The vectors, of shape (count, dims), of tokens of several sequences, one after another;
        owners: whose they are. What follows a sequence's first separator is its second text."""
        seen = np.cumsum(tokens == self._separator) - (tokens == self._separator)
        begins = np.flatnonzero(np.diff(owners, prepend=-1))
        lengths = np.diff(begins, append=len(tokens))
        of_second = seen > seen[begins].repeat(lengths)
        rows = _rows(self._file, "token_embd.weight", tokens)  # indexing copies them
        rows[of_second] += self._more
        return rows


def typed_inputs(file: ModelFile, separator: int) -> TypedInputs | None:
    """The inputs of a BERT cross-encoder with types; None for other models."""
    shape = file.tensors.get("token_types.weight", (0, (0, 0), 0))[1]
    has_types = len(shape) == 2 and shape[1] > 1
    typed = file.architecture == "bert" and file.kind is Kind.cross_encoder and has_types
    return TypedInputs(file, separator) if typed else None


def _rows(file: ModelFile, name: str, numbers: NDArray[np.integer]) -> NDArray[np.float32]:
    """Rows of a matrix of the file, as float32, of shape (count, dims)."""
    kind, shape, start = file.tensors[name]
    dims, rows = shape
    if kind in _FLOATS:
        table = np.memmap(file.path, _FLOATS[kind], "r", start, (rows, dims))
        return np.asarray(table[numbers], dtype=np.float32)
    import gguf

    try:
        stored = gguf.GGMLQuantizationType(kind)
        block, size = gguf.GGML_QUANT_SIZES[stored]
        packed = np.memmap(file.path, np.uint8, "r", start, (rows, dims // block * size))
        return np.asarray(gguf.quants.dequantize(packed[numbers], stored), dtype=np.float32)
    except (NotImplementedError, ValueError, KeyError) as error:
        raise ModelError(
            f"{file.path} stores its tokens' vectors in a type that can't be read here ({error})",
            hint="use a file in F16 or Q8_0",
        ) from error
