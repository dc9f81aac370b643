"""Quantizing a model file with llama.cpp's quantizer."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from qrank import files
from qrank.errors import ModelError
from qrank.llama.binding import delayed_signals, errors, llama

TYPES = {  # name -> llama.cpp's LLAMA_FTYPE_…
    "F32": llama.LLAMA_FTYPE_ALL_F32,
    "F16": llama.LLAMA_FTYPE_MOSTLY_F16,
    "BF16": llama.LLAMA_FTYPE_MOSTLY_BF16,
    "Q8_0": llama.LLAMA_FTYPE_MOSTLY_Q8_0,
    "Q6_K": llama.LLAMA_FTYPE_MOSTLY_Q6_K,
    "Q5_K_M": llama.LLAMA_FTYPE_MOSTLY_Q5_K_M,
    "Q4_K_M": llama.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "Q4_0": llama.LLAMA_FTYPE_MOSTLY_Q4_0,
}


def quantize(source: Path, out: Path, kind: str, *, again: bool = False) -> None:
    """Write source to out, with its matrices as kind, one of TYPES; out is replaced atomically.

    Quantizing a quantized file again loses more precision than quantizing F16, BF16 or F32, so it
    is an error unless `again` is set. Raises ModelError when llama.cpp fails.
    """
    parameters = llama.llama_model_quantize_default_params()
    parameters.ftype = TYPES[kind]
    parameters.allow_requantize = again
    errors.clear()
    with files.replacing(out) as part:
        with delayed_signals():
            failed = llama.llama_model_quantize(
                os.fsencode(source), os.fsencode(part), ctypes.byref(parameters)
            )
        if failed:
            reason = next((e for e in errors if "quantize" in e), "it refused the file")
            raise ModelError(f"llama.cpp can't quantize {source}: {reason.split(': ', 1)[-1]}")
