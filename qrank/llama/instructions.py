"""Instruction sets of the processor that this build of llama.cpp does not use: a generic build,
such as a prebuilt wheel, can be several times slower than one compiled on the machine."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# Linux's name of an instruction set -> llama.cpp's. Source: ggml_backend_cpu_get_features.
NAMES = {
    "avx": "AVX",
    "avx2": "AVX2",
    "f16c": "F16C",
    "fma": "FMA",
    "bmi2": "BMI2",
    "avx_vnni": "AVX_VNNI",
    "avx512f": "AVX512",
    "avx512vbmi": "AVX512_VBMI",
    "avx512_vnni": "AVX512_VNNI",
    "avx512_bf16": "AVX512_BF16",
    "amx_int8": "AMX_INT8",
    "asimddp": "DOTPROD",
    "asimdhp": "FP16_VA",
    "i8mm": "MATMUL_INT8",
    "sve": "SVE",
}


def missing(built: str, has: Set[str]) -> list[str]:
    """The instruction sets, by llama.cpp's names, that the processor has but the build lacks.
    built: llama.cpp's system info; has: Linux's names.

    >>> missing("CPU : SSE3 AVX F16C", {"sse3", "avx", "avx2", "f16c", "fma"})
    ['AVX2', 'FMA']
    """
    used = set(built.split())
    return [name for flag, name in NAMES.items() if flag in has and name not in used]


def of_this_processor() -> set[str]:
    """The processor's instruction sets by Linux's names; empty on other systems."""
    try:
        lines = CPUINFO.read_text("utf-8", "replace").splitlines()
    except OSError:
        return set()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(value.split())
    return set()
