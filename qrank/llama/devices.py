"""The devices that this build of llama.cpp can use, by llama.cpp's names."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from qrank.errors import InputError
from qrank.llama.binding import libggml

CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Device:
    """A device: llama.cpp's name (CUDA0, Vulkan0, CPU), ggml's handle, the hardware's own name,
    and its memory in bytes (0: unknown)."""

    name: str
    handle: int
    description: str = ""
    free: int = 0
    total: int = 0


def _function(name: str, *arguments: Any, result: Any = ctypes.c_void_p) -> Any:
    function = getattr(libggml, name)
    function.argtypes, function.restype = list(arguments), result
    return function


_count = _function("ggml_backend_dev_count", result=ctypes.c_size_t)
_get = _function("ggml_backend_dev_get", ctypes.c_size_t)
_name = _function("ggml_backend_dev_name", ctypes.c_void_p, result=ctypes.c_char_p)
_description = _function("ggml_backend_dev_description", ctypes.c_void_p, result=ctypes.c_char_p)
_version = _function("ggml_version", result=ctypes.c_char_p)
_commit = _function("ggml_commit", result=ctypes.c_char_p)


def build() -> str:
    """The versions of llama-cpp-python and of ggml, and ggml's commit, for people."""
    from importlib.metadata import version  # importing llama_cpp would make llama.cpp print its log

    return f"llama.cpp of llama-cpp-python {version('llama_cpp_python')}, {library()}"


def library() -> str:
    """The version of ggml, and its commit."""
    return f"ggml {_version().decode()} ({_commit().decode()})"


_size = ctypes.POINTER(ctypes.c_size_t)
_memory = _function("ggml_backend_dev_memory", ctypes.c_void_p, _size, _size, result=None)


def devices() -> list[Device]:
    """All devices, in llama.cpp's order."""
    result = []
    for handle in (_get(i) for i in range(_count())):
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        _memory(handle, ctypes.byref(free), ctypes.byref(total))
        name, text = (get(handle).decode("utf-8", "replace") for get in (_name, _description))
        result.append(Device(name, handle, text, free.value, total.value))
    return result


def selection(name: str) -> Any:
    """The device of that name in the form of llama.cpp's parameter: a NULL-terminated array.

    Raises InputError when there is no such device.
    """
    all_devices = devices()
    for device in all_devices:
        if device.name.lower() == name.lower():
            return (ctypes.c_void_p * 2)(device.handle, None)
    names = ", ".join(device.name for device in all_devices)
    raise InputError(f"there is no device {name}", hint=f"this build of llama.cpp has: {names}")
