"""Reading a folder of safetensors files, one tensor at a time.

Format: an 8-byte length, a JSON header with each tensor's type, shape and offsets, then the data,
all little-endian. Source: the format section of the safetensors README. Its own package has no
bfloat16 for numpy, which is what most Qwen3 weights are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qrank.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STORED_AS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor's place in a file."""

    name: str
    path: Path
    kind: str  # F32, F16 or BF16
    shape: tuple[int, ...]
    start: int  # bytes from the beginning of the file

    def raw(self) -> NDArray[np.generic]:
        """The values as stored, mapped from the file; bfloat16 as its 16-bit patterns."""
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


def weights(folder: Path) -> dict[str, Weight]:
    """The tensors of all safetensors files in a folder, by name.

    Raises ModelError when there are none, or one is damaged or of a type that is no float.
    """
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise ModelError(
            f"there is no .safetensors file in {folder}", hint="name a model's folder as published"
        )
    found: dict[str, Weight] = {}
    for path in paths:
        for weight in _read(path):
            found[weight.name] = weight
    return found


def _read(path: Path) -> Iterator[Weight]:
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if 8 + length > size:
                raise ValueError("the header ends behind the end of the file")
            header = json.loads(file.read(length))
        for name, fields in header.items():
            if name == "__metadata__":
                continue
            start, end = (8 + length + offset for offset in fields["data_offsets"])
            if end > size:
                raise ValueError(f"{name} ends behind the end of the file")
            if fields["dtype"] == "I64":
                continue  # a table of positions, no weight
            if fields["dtype"] not in _STORED_AS:
                raise ModelError(f"{path}: {name} is {fields['dtype']}, not F32, F16 or BF16")
            yield Weight(name, path, fields["dtype"], tuple(fields["shape"]), start)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} is cut short or no safetensors file ({error})", hint="download it again"
        ) from error
