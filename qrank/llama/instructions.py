"""The processor's instruction sets: those that this build of llama.cpp does not use, and whether
its AMX code works.

A generic build, such as a prebuilt wheel, can be several times slower than one compiled on the
machine. But in a build by GCC before 13.3, the first multiplication with AMX (Intel's servers since
2023) ends the process with a segmentation fault: that compiler takes most writes of the tile
configuration for dead stores. Source: llama.cpp's pull request 26954, and GCC's amxtileintrin.h.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Set
from contextlib import suppress
from functools import cache
from pathlib import Path

from qrank import files
from qrank.llama.machine import machine

AMX = "AMX_INT8"
TRIAL_SECONDS = 60
CRASHES = (-signal.SIGSEGV, -signal.SIGILL)  # exit statuses
TRIAL_MODEL = Path(__file__).parents[1] / "models" / "tiny" / "tiny-embedding.gguf"
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
    "amx_int8": AMX,
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


@cache
def amx_crashes() -> bool:
    """Whether this build of llama.cpp has AMX code that ends the process.

    A new process tries it once; the answer stays in the cache folder, for this machine and build.
    """
    from qrank.llama.binding import system_info

    if AMX not in system_info().split():
        return False
    known = files.user_folder("cache") / "amx" / machine()
    with suppress(OSError):
        return known.read_text("utf-8") == "crashes"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TRIAL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return True  # not known: without AMX it is slower, but works
    crashed = done.returncode in CRASHES
    if crashed or done.returncode == 0:  # else something kept it from running, this time
        with suppress(OSError):
            known.parent.mkdir(parents=True, exist_ok=True)
            with files.replacing(known) as part:
                part.write_text("crashes" if crashed else "works", "utf-8")
    return done.returncode != 0


def _try_amx() -> int:
    """Compute some tokens of a small model on the CPU, as llama.cpp does by default."""
    import ctypes
    import os

    from qrank.llama.binding import llama

    with suppress(ImportError):  # Windows has none
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    no_devices = (ctypes.c_void_p * 1)(None)
    parameters = llama.llama_model_default_params()
    parameters.n_gpu_layers = 0
    parameters.devices = ctypes.addressof(no_devices)
    model = llama.llama_model_load_from_file(os.fsencode(TRIAL_MODEL), parameters)
    context = model and llama.llama_init_from_model(model, llama.llama_context_default_params())
    if not context:
        return 1
    ids = (llama.llama_token * 32)(*range(32))
    return int(llama.llama_decode(context, llama.llama_batch_get_one(ids, len(ids))))


if __name__ == "__main__":
    sys.exit(_try_amx())
