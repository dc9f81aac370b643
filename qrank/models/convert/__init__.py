"""Converting a published folder of safetensors to a GGUF file, at its precision."""

from __future__ import annotations

from pathlib import Path
from struct import error as StructError
from typing import TYPE_CHECKING

from qrank import files
from qrank.errors import ModelError
from qrank.models.convert import bert, modernbert, qwen3
from qrank.models.convert.folder import read

if TYPE_CHECKING:
    import gguf
    import numpy as np
    from numpy.typing import NDArray

    from qrank.models.convert.weights import Tensor

_FAMILIES = {
    "BertModel": (bert, "bert"),
    "BertForSequenceClassification": (bert, "bert"),
    "ModernBertModel": (modernbert, "modern-bert"),
    "ModernBertForSequenceClassification": (modernbert, "modern-bert"),
    "Qwen3ForCausalLM": (qwen3, "qwen3"),
    "Qwen3Model": (qwen3, "qwen3"),
}
_MODULES = ("Transformer", "Pooling", "Normalize")  # of sentence-transformers, in all families
_FLOAT32 = ("position_embd.weight", "token_types.weight")  # llama.cpp can only add these in float32
# What is raised for configurations and vocabularies with unexpected types and lengths.
_WRONG = (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, StructError)
_FTYPES = {"F32": 0, "F16": 1, "BF16": 32}  # llama.cpp's LLAMA_FTYPE_…


def convert(path: Path, out: Path, name: str = "", *, half: bool = False) -> None:
    """Convert the model in the folder path to a GGUF file. Matrices keep their precision; with
    half, float32 becomes float16. name: in the metadata, by default the folder's.

    out is replaced atomically. Raises ModelError for a folder that can't be converted.
    """
    import gguf

    folder = read(path)
    if folder.architecture not in _FAMILIES:
        raise ModelError(
            f"{path} is a {folder.architecture}, which can't be converted",
            hint=f"use llama.cpp's convert_hf_to_gguf.py; supported here: {', '.join(_FAMILIES)}",
        )
    family, architecture = _FAMILIES[folder.architecture]
    for module in folder.modules:
        if module.kind not in (*_MODULES, *family.MODULES):
            raise ModelError(f"{path} has the module {module.kind}, which can't be converted")
    try:
        with files.replacing(out) as part:
            writer = gguf.GGUFWriter(part, architecture)
            writer.add_name(name or path.name)
            kind = next((w.kind for w in folder.weights.values() if len(w.shape) == 2), "F32")
            writer.add_file_type(_FTYPES["F16" if half and kind == "F32" else kind])
            family.describe(writer, folder)
            tensors: list[tuple[str, Tensor, slice | list[int]]] = [
                (target, weight, slice(rows))
                for target, (weight, rows) in family.tensors(folder).items()
            ]
            if family is qwen3 and qwen3.is_reranker(folder):
                weight, answers = qwen3.head(folder)
                tensors.append(("cls.output.weight", weight, answers))
            _write(writer, tensors, half)
    except _WRONG as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ModelError(
            f"{path} is not a valid {folder.architecture} folder ({reason})",
            hint="download it again",
        ) from error


def _write(
    writer: gguf.GGUFWriter, tensors: list[tuple[str, Tensor, slice | list[int]]], half: bool
) -> None:
    """Write the headers of all tensors, then copy the tensors one by one, to save memory."""
    import gguf

    for target, weight, rows in tensors:
        data = _stored(target, weight, rows, half)
        raw = gguf.GGMLQuantizationType.BF16 if data.dtype == "<u2" else None
        writer.add_tensor_info(target, data.shape, data.dtype, data.nbytes, raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for target, weight, rows in tensors:
        writer.write_tensor_data(_stored(target, weight, rows, half))
    writer.close()


def _stored(
    target: str, weight: Tensor, rows: slice | list[int], half: bool
) -> NDArray[np.generic]:
    """The values to store: vectors and _FLOAT32 as float32, matrices as `convert` says."""
    import numpy as np

    if len(weight.shape) < 2 or target in _FLOAT32:
        return np.ascontiguousarray(weight.values()[rows])
    data = np.ascontiguousarray(weight.raw()[rows])
    return data.astype(np.float16) if half and weight.kind == "F32" else data
