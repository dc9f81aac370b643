"""Reading a folder of safetensors files, one tensor at a time.

Format: an 8-byte length, a JSON header with each tensor's type, shape and offsets, then the data,
all little-endian. Source: the format section of the safetensors README. The safetensors package
can't read bfloat16 into numpy, and most Qwen3 weights are bfloat16.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qrank.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST_HEADER = 100_000_000  # bytes, as in the safetensors library
_STORED_AS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor in a safetensors file."""

    name: str
    path: Path
    kind: str  # F32, F16 or BF16
    shape: tuple[int, ...]
    start: int  # byte offset in the file

    def raw(self) -> NDArray[np.generic]:
        """The values as stored, memory-mapped; bfloat16 as uint16."""
        import numpy as np

        return np.memmap(
            self.path, _STORED_AS[self.kind], mode="r", offset=self.start, shape=self.shape
        )

    def values(self) -> NDArray[np.float32]:
        """The values as float32."""
        import numpy as np

        stored = np.asarray(self.raw())
        if self.kind != "BF16":
            return stored.astype(np.float32)
        return (stored.astype(np.uint32) << 16).view(np.float32)


@dataclass(frozen=True, slots=True)
class Computed:
    """A tensor that is computed from others; float32."""

    array: NDArray[np.float32]
    kind: str = "F32"

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions."""
        return self.array.shape

    def raw(self) -> NDArray[np.generic]:
        """As Weight.raw."""
        return self.array

    def values(self) -> NDArray[np.float32]:
        """As Weight.values."""
        return self.array


Tensor = Weight | Computed


def weights(folder: Path) -> dict[str, Weight]:
    """The tensors of all safetensors files in a folder, by name.

    Raises ModelError when there are none, or one is damaged or not F32, F16 or BF16.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise ModelError(
            f"there is no .safetensors file in {folder}",
            hint="name the folder of a published model",
        )
    result: dict[str, Weight] = {}
    for path in paths:
        for weight in _read(path):
            result[weight.name] = weight
    return result


def _read(path: Path) -> Iterator[Weight]:
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(size - 8, LONGEST_HEADER):
                raise ValueError("the header ends after the end of the file, or is too long")
            header = json.loads(file.read(length))
        last_end = 0
        tensors = [(name, fields) for name, fields in header.items() if name != "__metadata__"]
        for name, fields in sorted(tensors, key=lambda item: item[1]["data_offsets"]):
            start, end = fields["data_offsets"]
            shape, kind = tuple(fields["shape"]), fields["dtype"]
            if not all(type(n) is int and n >= 0 for n in (start, end, *shape)):
                raise ValueError(f"{name} has offsets that are not valid")
            if start < last_end or end < start or 8 + length + end > size:
                raise ValueError(
                    f"{name} overlaps another tensor, or ends after the end of the file"
                )
            last_end = end
            if kind == "I64":
                continue  # position ids, not weights
            if kind not in _STORED_AS:
                raise ModelError(f"{path}: {name} is {kind}, not F32, F16 or BF16")
            if math.prod(shape) * (4 if kind == "F32" else 2) != end - start or start == end:
                raise ValueError(f"{name} does not have the size of its shape")
            yield Weight(name, path, kind, shape, 8 + length + start)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"{path} is truncated, or not a safetensors file ({error})", hint="download it again"
        ) from error
