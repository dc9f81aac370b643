"""A published folder of safetensors -> one GGUF file, at the precision it was published in."""

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
_MODULES = ("Transformer", "Pooling", "Normalize")  # of sentence-transformers, that all have
_ADDED = ("position_embd.weight", "token_types.weight")  # llama.cpp adds float32 only
# What configurations and vocabularies of other types and lengths than expected raise.
_WRONG = (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, StructError)
_FTYPES = {"F32": 0, "F16": 1, "BF16": 32}  # llama.cpp's LLAMA_FTYPE_…


def convert(path: Path, out: Path, name: str = "", *, half: bool = False) -> None:
    """Write the model in the folder path as a GGUF file; matrices keep their precision, or with
    half become float16 where they were float32.

    out appears whole or not at all. Raises ModelError for what can't be converted.
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
            chosen: list[tuple[str, Tensor, slice | list[int]]] = [
                (target, weight, slice(rows))
                for target, (weight, rows) in family.tensors(folder).items()
            ]
            if family is qwen3 and qwen3.is_reranker(folder):
                weight, answers = qwen3.head(folder)
                chosen.append(("cls.output.weight", weight, answers))
            _write(writer, chosen, half)
    except _WRONG as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ModelError(
            f"{path} is not a valid {folder.architecture} folder ({reason})",
            hint="download it again",
        ) from error


def _write(
    writer: gguf.GGUFWriter, chosen: list[tuple[str, Tensor, slice | list[int]]], half: bool
) -> None:
    """Announce all tensors, then copy them one by one: memory holds one at a time."""
    import gguf

    for target, weight, rows in chosen:
        data = _stored(target, weight, rows, half)
        raw = gguf.GGMLQuantizationType.BF16 if data.dtype == "<u2" else None
        writer.add_tensor_info(target, data.shape, data.dtype, data.nbytes, raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for target, weight, rows in chosen:
        writer.write_tensor_data(_stored(target, weight, rows, half))
    writer.close()


def _stored(
    target: str, weight: Tensor, rows: slice | list[int], half: bool
) -> NDArray[np.generic]:
    """The values as GGUF keeps them: what is added as float32, matrices as convert says."""
    import numpy as np

    if len(weight.shape) < 2 or target in _ADDED:
        return np.ascontiguousarray(weight.values()[rows])
    data = np.ascontiguousarray(weight.raw()[rows])
    return data.astype(np.float16) if half and weight.kind == "F32" else data
