"""A published folder of safetensors -> one GGUF file, at the precision it was published in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qrank.errors import ModelError
from qrank.models.convert import bert, qwen3
from qrank.models.convert.folder import Folder, read

if TYPE_CHECKING:
    import gguf
    import numpy as np
    from numpy.typing import NDArray

    from qrank.models.convert.weights import Weight

_FAMILIES = {
    "BertModel": (bert, "bert"),
    "BertForSequenceClassification": (bert, "bert"),
    "Qwen3ForCausalLM": (qwen3, "qwen3"),
    "Qwen3Model": (qwen3, "qwen3"),
}


def convert(path: Path, out: Path, name: str = "") -> None:
    """Write the model in the folder path as a GGUF file; matrices keep their precision.

    out appears whole or not at all. Raises ModelError for what can't be converted.
    """
    import gguf

    folder = read(path)
    if folder.architecture not in _FAMILIES:
        raise ModelError(
            f"{path} is a {folder.architecture}, which can't be converted",
            hint=f"use llama.cpp's convert_hf_to_gguf.py; known here: {', '.join(_FAMILIES)}",
        )
    family, architecture = _FAMILIES[folder.architecture]
    part = out.with_name(out.name + ".part")
    try:
        writer = gguf.GGUFWriter(part, architecture)
        writer.add_name(name or path.name)
        matrix = next((w for w in folder.weights.values() if len(w.shape) == 2), None)
        kind = matrix.kind if matrix else "F32"
        writer.add_file_type(getattr(gguf.LlamaFileType, f"{_FTYPES[kind]}"))
        family.describe(writer, folder)
        chosen: list[tuple[str, Weight, slice | list[int]]] = [
            (target, weight, slice(rows)) for target, (weight, rows) in family.tensors(folder).items()
        ]
        if family is qwen3 and qwen3.is_reranker(folder):
            weight, answers = qwen3.head(folder)
            chosen.append(("cls.output.weight", weight, answers))
        _write(writer, chosen)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)


_FTYPES = {"F32": "ALL_F32", "F16": "MOSTLY_F16", "BF16": "MOSTLY_BF16"}


def _write(
    writer: gguf.GGUFWriter, chosen: list[tuple[str, Weight, slice | list[int]]]
) -> None:
    """Announce all tensors, then copy them one by one: memory holds one at a time."""
    import gguf

    for target, weight, rows in chosen:
        data = _stored(weight, rows)
        raw = gguf.GGMLQuantizationType.BF16 if data.dtype == "<u2" else None
        writer.add_tensor_info(target, data.shape, data.dtype, data.nbytes, raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, weight, rows in chosen:
        writer.write_tensor_data(_stored(weight, rows))
    writer.close()


def _stored(weight: Weight, rows: slice | list[int]) -> NDArray[np.generic]:
    """The values as GGUF keeps them: matrices as they were, vectors as float32."""
    import numpy as np

    small = len(weight.shape) < 2
    return np.ascontiguousarray((weight.values() if small else weight.raw())[rows])
