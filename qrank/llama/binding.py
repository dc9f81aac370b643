"""llama.cpp's C interface, loaded once; its messages are not printed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec

# Waiting threads yield their core soon. By default they spin for milliseconds in GNU OpenMP, and
# small models ran thirty times slower beside another busy program.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


@contextmanager
def _without_its_package() -> Iterator[None]:
    """Import modules of llama_cpp without running the package's __init__, which also imports what
    chat programs need (jinja2, diskcache, uuid …) and takes four times as long. A later import of
    the package still gets all of it."""
    spec = None if "llama_cpp" in sys.modules else find_spec("llama_cpp")
    if spec is None:
        yield
        return
    sys.modules["llama_cpp"] = module_from_spec(spec)
    try:
        yield
    finally:
        del sys.modules["llama_cpp"]


with _without_its_package():
    import llama_cpp.llama_cpp as llama
    from llama_cpp._ggml import libggml

__all__ = ["delayed_signals", "errors", "libggml", "llama", "system_info"]


class _Errors(threading.local):
    """llama.cpp's last warnings and errors in this thread: two threads may each load a model."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def clear(self) -> None:
        """Remove all messages, before a call."""
        self.lines.clear()

    def __iter__(self) -> Iterator[str]:
        return iter(self.lines)


errors = _Errors()


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def _store_errors(level: int, text: bytes, _: object) -> None:
    if level in (3, 4):  # GGML_LOG_LEVEL_WARN, GGML_LOG_LEVEL_ERROR
        errors.lines.append(text.decode("utf-8", "replace").strip())
        del errors.lines[:-20]


def system_info() -> str:
    """The build options of llama.cpp and the processor features it uses, separated by spaces."""
    text = llama.llama_print_system_info().decode("utf-8", "replace")
    return " ".join(part for part in text.replace("|", " ").split() if part not in ("=", "1"))


@contextmanager
def delayed_signals() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the end of the `with` block: an exception raised inside the
    callback above would be lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # None: installed by C code, so that Python can't restore it.
    ours = {number: handler for number, handler in handlers.items() if handler is not None}
    for number in ours:
        signal.signal(number, lambda number, _special: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
    if arrived:
        signal.raise_signal(arrived[0])


llama.llama_log_set(_store_errors, None)
llama.llama_backend_init()
