"""Validating a GGUF header before llama.cpp loads the file.

llama.cpp reports most damaged files, but aborts the process on others (GGML_ASSERT), and reads out
of bounds of some arrays whose length it does not check.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# (values in a block, its bytes) by ggml's number of a type. Source: gguf-py's GGML_QUANT_SIZES.
# fmt: off
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 40), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176),
    14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98),
    19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1),
    25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2),
    34: (256, 54), 35: (256, 66), 39: (32, 17),
}
# fmt: on
MOST_LAYERS = 512  # LLAMA_MAX_LAYERS
MOST_DIMENSION = 1 << 31
MOST_DIMENSIONS = 4  # GGML_MAX_DIMS
LONGEST_KEY, LONGEST_NAME = 65_535, 63  # GGUF's, and GGML_MAX_NAME - 1
STRING, FLOAT32, INT32 = 8, 6, 5  # GGUF's types of values
_SIZES = ("embedding_length", "context_length", "feed_forward_length", "attention.head_count")
_PER_TOKEN = {"scores": FLOAT32, "token_type": INT32}


@dataclass(slots=True)
class Contents:
    """The arrays of a header as (type of an item, count), and the tensors as (type, shape, offset
    from the start of the data), by name."""

    arrays: dict[str, tuple[int, int]] = field(default_factory=dict)
    tensors: dict[str, tuple[int, tuple[int, ...], int]] = field(default_factory=dict)


def check(metadata: Mapping[str, Any], contents: Contents, header: int, size: int) -> None:
    """Raise ValueError, with the reason, for an invalid header. header, size: bytes of the header
    and of the file."""
    _tensors(metadata, contents, header, size)
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise ValueError("it has no architecture")
    own = {
        key.removeprefix(f"{architecture}."): value
        for key, value in metadata.items()
        if key.startswith(f"{architecture}.")
    }
    for key, value in own.items():
        if isinstance(value, float) and not 0 <= value < math.inf:
            raise ValueError(f"{key} is {value}")
        if type(value) is int and not -1 <= value < MOST_DIMENSION:
            raise ValueError(f"{key} is {value}")
    for key in _SIZES:
        if type(own.get(key, 1)) is int and own.get(key, 1) < 1:
            raise ValueError(f"{key} is {own[key]}")
    if own.get("pooling_type", 0) not in range(5):
        raise ValueError(f"pooling_type is {own['pooling_type']}")
    _layers(own, contents)
    _vocabulary(metadata, own, contents)


def _tensors(metadata: Mapping[str, Any], contents: Contents, header: int, size: int) -> None:
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise ValueError(f"its alignment is {alignment}")
    start = data_start(metadata, header)
    # Where the next tensor must begin; None after one of an unknown type.
    following: int | None = 0
    for name, (kind, shape, offset) in contents.tensors.items():
        if not 0 < len(shape) <= MOST_DIMENSIONS or not all(0 < n < MOST_DIMENSION for n in shape):
            raise ValueError(f"{name} has the shape {shape}")
        values, in_bytes = BLOCKS.get(kind, (1, 0))
        end = offset + math.prod(shape) // values * in_bytes
        if shape[0] % values or following not in (None, offset):
            raise ValueError(f"{name} has an impossible shape or position")
        if start + end > size:
            raise ValueError(f"{name} ends after the end of the file")
        following = _rounded(end, alignment) if in_bytes else None


def data_start(metadata: Mapping[str, Any], header: int) -> int:
    """The byte offset of the tensor data in a file whose header has `header` bytes."""
    return _rounded(header, metadata.get("general.alignment", 32))


def _rounded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _layers(own: Mapping[str, Any], contents: Contents) -> None:
    """Check that the number of layers covers all tensors."""
    numbers = {
        int(number)
        for name in contents.tensors
        if name.startswith("blk.") and (number := name.split(".")[1]).isdecimal()
    }
    layers = own.get("block_count")
    if type(layers) is not int or not 0 < layers <= MOST_LAYERS:
        raise ValueError(f"block_count is {layers}")
    if numbers and max(numbers) >= layers:
        raise ValueError(f"it has a tensor of layer {max(numbers)}, but {layers} layers")


def _vocabulary(metadata: Mapping[str, Any], own: Mapping[str, Any], contents: Contents) -> None:
    arrays = contents.arrays
    kind, count = arrays.get("tokenizer.ggml.tokens", (STRING, 0))
    if kind != STRING:
        raise ValueError("its tokens are not strings")
    for name, kinds in _PER_TOKEN.items():
        if arrays.get(f"tokenizer.ggml.{name}", (kinds, count)) != (kinds, count):
            raise ValueError(f"its {name} do not match its {count} tokens")
    if arrays.get("tokenizer.ggml.merges", (STRING, 0))[0] != STRING:
        raise ValueError("its merges are not strings")
    for name in ("tokens", *_PER_TOKEN, "merges"):
        if (key := f"tokenizer.ggml.{name}") in metadata and key not in arrays:
            raise ValueError(f"its {name} are not a list")
    embeddings = contents.tensors.get("token_embd.weight")
    if embeddings and count and embeddings[1][-1] != count:
        raise ValueError(f"it has {count} tokens, but rows for {embeddings[1][-1]}")
    if embeddings and embeddings[1][0] != own.get("embedding_length", embeddings[1][0]):
        raise ValueError(f"embedding_length is {own['embedding_length']}")
