"""The head of a cross-encoder whose form llama.cpp can't compute: it is computed here, on the
pooled state.

`qrank models import` writes it into a file's metadata (qrank/models/convert/heads.py):
`qrank.head.steps` lists its layers (`dense:gelu`, `norm`, `dense:identity`), `qrank.head.N.weight`
and `.bias` have their values as float32, `qrank.head.N.epsilon` the epsilon of a layer norm.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qrank.errors import ModelError
from qrank.llama.gguf import HEAD, ModelFile

Values = NDArray[np.float32]

_ACTIVATIONS: dict[str, Callable[[Values], Values]] = {
    "identity": lambda x: x,
    "gelu": lambda x: np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x.tolist()]),
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * (1 + np.tanh(x / 2)) / 2,  # x sigmoid(x), without overflow
}


class OwnHead:
    """A sequence of dense layers and layer norms whose output is one logit."""

    def __init__(self, file: ModelFile, dims: int) -> None:
        """Read the head. dims: the size of the pooled state. Raises ModelError when a layer is
        missing, or the sizes of layers do not match."""
        self.dims = dims
        self._steps: list[Callable[[Values], Values]] = []
        size = dims
        try:
            for i, step in enumerate(file.metadata[HEAD]):
                size = self._add(file, f"qrank.head.{i}", str(step), size)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"the model file {file.path} is damaged (its head: {error})"
            ) from error
        if size != 1:
            raise ModelError(
                f"the model file {file.path} is damaged (its head ends in {size} values)"
            )

    def _add(self, file: ModelFile, key: str, step: str, size: int) -> int:
        """Add a layer with inputs of the given size; returns the size of its outputs."""
        kind, _, activation_name = step.partition(":")
        weight = _values(file, f"{key}.weight")
        bias = _values(file, f"{key}.bias") if f"{key}.bias" in file.arrays else None
        if kind == "norm":
            epsilon = float(file.metadata[f"{key}.epsilon"])
            if weight.shape != (size,):
                raise ValueError(f"{key} has {len(weight)} values, not {size}")
            self._steps.append(lambda x: _norm(x, epsilon) * weight + (0 if bias is None else bias))
            return size
        activation = _ACTIVATIONS[activation_name]
        matrix = weight.reshape(-1, size)
        if bias is not None and len(bias) != len(matrix):
            raise ValueError(f"{key} has {len(bias)} values, not {len(matrix)}")
        self._steps.append(lambda x: activation(matrix @ x + (0 if bias is None else bias)))
        return len(matrix)

    def logit(self, state: Values) -> float:
        """The logit of a pooled state of shape (dims,)."""
        for step in self._steps:
            state = step(state)
        return float(state[0])


def _values(file: ModelFile, key: str) -> Values:
    return np.frombuffer(file.array(key, "f"), dtype=np.float32)


def _norm(x: Values, epsilon: float) -> Values:
    centred = x - x.mean()
    normed: Values = centred / np.sqrt(np.square(centred).mean() + epsilon)
    return normed
