"""Token types (segment embeddings) for BERT cross-encoders: type 0 for the query, 1 for the text.

llama.cpp gives every token type 0. So it gets input vectors instead of token ids: the token
embeddings, and for the second text the difference between the embeddings of types 1 and 0 added.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qrank.errors import ModelError
from qrank.llama.gguf import Kind, ModelFile

_FLOATS = {0: "<f4", 1: "<f2"}  # ggml's types that numpy has


class TypedInputs:
    """Computes the input vectors of the tokens of pairs."""

    def __init__(self, file: ModelFile, separator: int) -> None:
        """separator: the token id that ends each text of a pair. Raises ModelError when the file's
        embeddings can't be read."""
        self._separator = separator
        self._file = file
        first, second = _rows(file, "token_types.weight", np.arange(2))
        self._difference = second - first

    def vectors(self, tokens: NDArray[np.int32], owners: NDArray[np.int32]) -> NDArray[np.float32]:
        """The input vectors, shape (tokens, dims), of concatenated sequences. owners: each token's
        sequence id. The second text of a sequence starts after its first separator."""
        separators = np.cumsum(tokens == self._separator) - (tokens == self._separator)  # before it
        begins = np.flatnonzero(np.diff(owners, prepend=-1))
        lengths = np.diff(begins, append=len(tokens))
        in_second = separators > separators[begins].repeat(lengths)
        rows = _rows(self._file, "token_embd.weight", tokens)  # a copy
        rows[in_second] += self._difference
        return rows


def typed_inputs(file: ModelFile, separator: int) -> TypedInputs | None:
    """The TypedInputs of a BERT cross-encoder with token types; None for other models."""
    shape = file.tensors.get("token_types.weight", (0, (0, 0), 0))[1]
    has_types = len(shape) == 2 and shape[1] > 1
    typed = file.architecture == "bert" and file.kind is Kind.cross_encoder and has_types
    return TypedInputs(file, separator) if typed else None


def _rows(file: ModelFile, name: str, numbers: NDArray[np.integer]) -> NDArray[np.float32]:
    """Rows of a matrix in the file as float32, shape (rows, dims); dequantized if needed."""
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
